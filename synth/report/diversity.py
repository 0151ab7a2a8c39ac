"""Diversity of instructions, measured on a sample: verbs and objects, distinct n-grams, nearest neighbours.

Three measures, none of which needs a model:
- verbs and objects, as in figure 3 of Self-Instruct (arXiv 2212.10560). The paper parses sentences; here an imperative
  is a listed verb at the start of a clause, and its object the last word before a preposition, a conjunction or a
  punctuation mark. English only, and verbs that are not listed are missed.
- distinct-n (arXiv 1510.03055, section 5.2): distinct word n-grams over all. It falls with the size of the sample:
  compare samples of equal size.
- nearest neighbours: for each instruction the highest Jaccard similarity of its set of words with another's, exact.

A word is a run of letters and digits; each Chinese or Japanese character is one.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synth.quality.asking import BEFORE_VERB, VERBS
from synth.report.run_data import Run, spread

MOST_TEXTS = 5000
MOST_NEIGHBOURS = 1000
LONGEST = 2000  # characters of an instruction that are used

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_TOKEN = re.compile(r"[^\W\d][\w'’-]*|\d[\w.,]*\w|[^\w\s]|\d|\n")
_SKIPPED = frozenset(
    """a an the this that these those my your his her its our their some any each every all both me us him them it up
    out down one two three four five six seven eight nine ten several many few first second third last next same other
    another such only more most less better best shorter longer smaller larger bigger something somewhere anything
    everything new given following above below""".split()
)
_ENDS = frozenset(
    """of for in on at by with without from to into onto about as than between among over under through during using
    via against per within like and or but nor if when while where whether how why what which who whom whose that so
    because before after until since is are was were be been has have had do does did can could should would will may
    might must not no then i you he she we they called named based related plus minus times equal equals""".split()
)


@dataclass(frozen=True)
class Diversity:
    """`verbs` has the objects of each verb; `with_verb` texts have a verb and an object. `distinct` is by n; `nearest`
    has for each of its texts the similarity with the nearest other one, from 0 to 1."""

    texts: int
    verbs: dict[str, Counter[str]]
    with_verb: int
    distinct: dict[int, float]
    nearest: np.ndarray


def diversity(texts: Sequence[str]) -> Diversity:
    pairs = [pair for text in texts if (pair := verb_and_object(text))]
    verbs: dict[str, Counter[str]] = {}
    for verb, noun in pairs:
        verbs.setdefault(verb, Counter())[noun] += 1
    words = [_WORD.findall(text[:LONGEST].lower()) for text in texts]
    return Diversity(
        texts=len(texts),
        verbs=dict(sorted(verbs.items(), key=lambda one: (-one[1].total(), one[0]))),
        with_verb=len(pairs),
        distinct={n: distinct(words, n) for n in (1, 2, 3)},
        nearest=nearest([set(words[place]) for place in spread(len(words), MOST_NEIGHBOURS)]),
    )


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Distinct n-grams over all n-grams; 0 if there are none."""
    grams = [gram for words in texts for gram in zip(*(words[start:] for start in range(n)), strict=False)]
    return len(set(grams)) / len(grams) if grams else 0.0


def nearest(sets: Sequence[set[str]]) -> np.ndarray:
    """The highest Jaccard similarity of each set with another. Two empty sets are equal."""
    if len(sets) < 2:
        return np.empty(0)
    sizes = np.array([len(words) for words in sets], dtype=np.float32)
    counts = Counter(word for words in sets for word in words)
    # A word of a single set is in no intersection.
    columns = {word: place for place, word in enumerate(word for word, count in counts.items() if count > 1)}
    members = np.zeros((len(sets), len(columns)), dtype=np.float32)
    for row, words in enumerate(sets):
        members[row, [columns[word] for word in words if word in columns]] = 1
    common = members @ members.T
    union = sizes[:, None] + sizes[None, :] - common
    similarity = np.divide(common, union, out=np.ones_like(common), where=union > 0)
    np.fill_diagonal(similarity, 0)
    return np.asarray(similarity.max(axis=1))


def verb_and_object(text: str) -> tuple[str, str] | None:
    """`("write", "story")` for "Please write me a short story about…"; None if none is found."""
    tokens = _TOKEN.findall(text[:LONGEST])
    at_start = True
    for place, token in enumerate(tokens):
        word = token.lower()
        if at_start and word in VERBS and (noun := _object(tokens[place + 1 : place + 9])):
            return word, noun
        at_start = word in BEFORE_VERB or not word[0].isalnum()
    return None


def _object(tokens: Sequence[str]) -> str | None:
    head = None
    for token in tokens:
        word = token.lower()
        if word in _SKIPPED or word[0].isdigit():
            continue
        # A name, such as a function's, is no object.
        if word in _ENDS or not word[0].isalpha() or "_" in word or not (token.islower() or token.istitle()):
            break
        head = word
    return _singular(head) if head else None


def _singular(noun: str) -> str:
    noun = noun.removesuffix("'s").removesuffix("’s")
    if noun.endswith("ies") and len(noun) > 4:
        return f"{noun[:-3]}y"
    if re.search(r"(ss|x|zz|ch|sh)es$", noun):
        return noun[:-2]
    return noun[:-1] if re.search(r"[^siu]s$", noun) and len(noun) > 3 else noun


def instructions(run: Run) -> list[str]:
    """At most MOST_TEXTS of a run's kept instructions, evenly spaced. Raises Unreadable."""
    places, start, texts = spread(run.counts["kept"], MOST_TEXTS), 0, []
    for batch in run.batches("kept"):
        low, high = bisect_left(places, start), bisect_left(places, start + len(batch))
        chosen = pa.array([place - start for place in places[low:high]], pa.int64())
        texts += [text for text in batch["instruction"].take(chosen).to_pylist() if text]
        start += len(batch)
    return texts
