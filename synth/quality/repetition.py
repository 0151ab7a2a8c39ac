"""Rejects repetitive text.

Three kinds of repetition are measured:

* Repeated lines and paragraphs: their share of all lines and of the text (Rae et al., the Gopher paper, arXiv
  2112.11446, table A1, with its bounds).
* Repeated n-grams of words. A sentence may occur twice, so there are two bounds: one for second occurrences, and a far
  lower one for third and later ones. The paper's bounds on words were made for web pages and reject a third of good
  short answers; these bounds are measured (benchmarks/filters.py).
* A sentence or list item that nearly equals the one before, a few words many times in a row, and a long paragraph that
  nearly equals an earlier one.

Words are runs of letters and digits in lower case; n-grams of numbers only don't count. Code and tables are left out:
good ones repeat themselves. Verse may have a refrain: it is judged by its lines, of which six in ten may be refrain. A
text counts as verse if its first 1,000 characters do.

Limits: drills are repetition too. In languages without spaces between words only lines are compared;
synth/quality/gibberish.py finds loops there.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field
from difflib import SequenceMatcher
from itertools import compress, pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Share
from synth.quality.ngrams import Hashes, hashed, windows
from synth.quality.text_filter import TextFilter
from synth.quality.texts import (
    beginnings,
    is_verse,
    prose,
    texts,
    whole_lines,
    whole_words,
    without_tables,
)
from synth.records import Record, Rejection

Size = Annotated[int, Field(ge=1)]

LEAST_LINES = 4  # with fewer lines, two equal ones are a large share
OPENING = 1000  # characters by which verse is recognized
REFRAIN = 0.6  # of a poem or a song
LEAST_WORDS_OF_A_LINE = 12  # shorter lines may occur twice: "- [ ]: a blank or nothing"
LEAST_WORDS_OF_A_SENTENCE = 8  # shorter sentences may occur twice in a row: "Run, run!"
LEAST_RUN = 14  # words that a sentence may not take from the one before, if they are most of both
MOST_OF_A_SENTENCE = 0.7
LEAST_WORDS_OF_AN_ITEM = 3
LEAST_WORDS_OF_A_PARAGRAPH = 25
ALIKE = 0.75  # share of common trigrams of two paragraphs
PHRASE = 3  # words, not all equal
LEAST_AGAIN = 3  # times that a phrase is repeated within sentences
MOST_OF_PHRASE = 0.25  # share of a paragraph's words
_IN_A_ROW = {1: 20, 2: 5, 3: 4, 4: 4, 5: 4, 6: 3, 7: 3, 8: 3}  # by words: how many times in a row is too often
LONG_PERIODS = range(9, 40)  # words that may not come twice in a row, with a filler between or none
LEAST_ITEMS = 8  # of a list of which at least half must differ
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+")
_NUMBER = re.compile(r"^\s*\d+[.)]\s+")
_FILLERS = frozenset("a again also and but just so still the then too".split())
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Repetition(TextFilter):
    """Rejects a record as `repeated_lines` or `repeated_words` if too much of a text in `column` is repetition.

    `lines` and `paragraphs` bound the share of repeated ones, `line_text` and `paragraph_text` their share of the text;
    null is no bound. `duplicate_words` bounds, by n, the share of words in n-grams that occurred before; `looped_words`
    in n-grams that occurred twice before. `adjacent` false allows nearly equal sentences or items in a row, and a few
    words many times in a row or in a paragraph. `duplicate_words` applies to texts of at least `min_words` words, and
    `lines` to texts of at least four lines. Also: `no_COLUMN`.
    """

    lines: Share | None = 0.3
    paragraphs: Share | None = 0.3
    line_text: Share | None = 0.2
    paragraph_text: Share | None = 0.2
    duplicate_words: dict[Size, Share] = field(default_factory=lambda: {10: 0.33})
    looped_words: dict[Size, Share] = field(default_factory=lambda: {8: 0.08})
    adjacent: bool = True
    min_words: Size = 50

    reasons: ClassVar[tuple[str, ...]] = ("repeated_lines", "repeated_words")

    def __call__(self, record: Record, llm: Any) -> Record:
        for text in texts(record, self.column):
            body = without_tables(prose(text))
            verse = is_verse(_opening(body))
            self._check_lines(body, verse)
            if not verse:
                self._check_words(body)
                self._look_for_echoes(body, _SENTENCE_END.split(body), body.splitlines(), _PARAGRAPH_END.split(body))
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """For a partial text, not verse, that has repeated so much that even `left` new words could not make up for it.
        Shares of lines may still improve."""
        for text in beginnings(record, self.column):
            body = without_tables(prose(whole_words(text)))
            if len(body) < OPENING or is_verse(_opening(body)):
                continue
            try:
                self._check_words(body, len(_words(text)) + left)
                # The last one may be incomplete.
                sentences, lines = _SENTENCE_END.split(body)[:-1], whole_lines(body).splitlines()
                self._look_for_echoes(body, sentences, lines, _PARAGRAPH_END.split(body)[:-1])
            except Rejection as found:
                return found
        return None

    def _check_lines(self, text: str, verse: bool) -> None:
        for name, parts, most, most_text in (
            ("lines", text.splitlines(), self.lines, self.line_text),
            ("paragraphs", re.split(r"\n\s*\n", text), self.paragraphs, self.paragraph_text),
        ):
            stripped = [_NUMBER.sub("", part).strip() for part in parts if part.strip()]
            if len(stripped) < LEAST_LINES:
                continue
            again = _again(stripped)
            share = sum(again) / len(again)
            if most is not None and share > (REFRAIN if verse else most):
                raise Rejection("repeated_lines", f"{share:.0%} of the {name} are repeated")
            repeated = list(compress(stripped, again))
            if len(repeated) == 1 and len(repeated[0].split()) < LEAST_WORDS_OF_A_LINE:
                continue
            share = sum(map(len, repeated)) / sum(map(len, stripped))
            if most_text is not None and share > (REFRAIN if verse else most_text):
                raise Rejection("repeated_lines", f"{share:.0%} of the text are repeated {name}")

    def _check_words(self, text: str, of: int | None = None) -> None:
        """Raises Rejection for too large a share of all words, or of `of` words."""
        words = Words(_words(_INLINE_CODE.sub(" ", text)))
        whole = len(words) / of if of else 1.0
        for n, most in self.looped_words.items():
            share = words.repeated(n, times=2) * whole
            if share > most:
                raise Rejection("repeated_words", f"{share:.0%} of the text are {n}-grams that occur a third time")
        if len(words) < self.min_words:
            return
        for n, most in self.duplicate_words.items():
            share = words.repeated(n) * whole
            if share > most:
                raise Rejection("repeated_words", f"{share:.0%} of the text are repeated {n}-grams")

    def _look_for_echoes(
        self, text: str, sentences: Sequence[str], lines: Sequence[str], paragraphs: Sequence[str]
    ) -> None:
        """Raises Rejection for a sentence or item that nearly equals the one before, and for a repeated paragraph."""
        if self.adjacent and (repeated := _sentence_twice(sentences) or _item_twice(lines)):
            raise Rejection("repeated_words", f"twice in a row: {repeated!r}")
        if self.adjacent and (repeated := _repeated_in_a_row(text)):
            raise Rejection("repeated_words", f"many times in a row: {repeated!r}")
        if self.adjacent and _few_items(lines):
            raise Rejection("repeated_lines", "a list of few different items")
        if self.adjacent and (repeated := _phrase_again(lines)):
            raise Rejection("repeated_words", f"many times: {repeated!r}")
        if self.paragraphs is not None and (repeated := _paragraph_again(paragraphs)):
            raise Rejection("repeated_lines", f"a repeated paragraph: {repeated!r}")


class Words:
    """The words of a text, hashed for comparison."""

    def __init__(self, words: Sequence[str]):
        self._hashed = hashed(words)
        self._worded = np.fromiter((not word.isdigit() for word in words), np.int64, len(words))

    def __len__(self) -> int:
        return len(self._hashed)

    def repeated(self, n: int, *, times: int = 1) -> float:
        """The share of words in n-grams, not all numbers, that occurred `times` times before."""
        grams = windows(self._hashed, n)
        if not len(grams):
            return 0.0
        order = np.argsort(grams, kind="stable")  # groups equal n-grams, earlier ones first
        starts = np.flatnonzero(np.diff(grams[order], prepend=~grams[order[:1]]))
        rank = np.arange(len(grams)) - np.repeat(starts, np.diff(starts, append=len(grams)))
        worded = np.convolve(self._worded, np.ones(n, np.int64), "valid") > 0
        again = order[(rank >= times) & worded[order]]
        inside = np.zeros(len(self) + 1, np.int64)
        np.add.at(inside, again, 1)
        np.add.at(inside, again + n, -1)
        return float((np.cumsum(inside[:-1]) > 0).mean())


def _repeated_in_a_row(text: str) -> str | None:
    """A few words many times in a row: "the red worm, the red worm, the red worm, the red worm"."""
    words = _words(_INLINE_CODE.sub(" ", text))
    hashes = hashed(words)
    for period, least in _IN_A_ROW.items():
        for phrase, repeated in _periodic(words, hashes, period):
            if repeated >= period * (least - 1) and not all(map(str.isdigit, phrase)):
                return " ".join(phrase)
    words = _words(text)  # with code, which may be what differs
    hashes = hashed(words)
    for period in LONG_PERIODS:
        for phrase, repeated in _periodic(words, hashes, period):
            least = period - (phrase[-1] in _FILLERS)
            if repeated >= least and 2 * sum(map(str.isdigit, phrase)) < period:
                return " ".join(phrase)
    return None


def _periodic(words: Sequence[str], hashes: Hashes, period: int) -> Iterator[tuple[Sequence[str], int]]:
    """Each phrase of `period` words that goes on repeating, with the number of words that repeat it."""
    again = np.flatnonzero(np.diff(hashes[period:] == hashes[:-period], prepend=False, append=False))
    for start, end in zip(again[::2], again[1::2], strict=True):
        yield words[start : start + period], end - start


def _phrase_again(paragraphs: Sequence[str]) -> str | None:
    """Three words that make up much of a paragraph: "the World Cup saw the World Cup of the World Cup".

    Once per sentence is fine: "The capital of Italy is Rome.".
    """
    for paragraph in paragraphs:
        sentences = [_words(_INLINE_CODE.sub(" ", sentence)) for sentence in _SENTENCE_END.split(paragraph)]
        phrases = [list(zip(*(words[at:] for at in range(PHRASE)), strict=False)) for words in sentences]
        counts, once = (
            Counter(phrase for some in all_of for phrase in some) for all_of in (phrases, map(set, phrases))
        )
        for phrase, count in counts.most_common(PHRASE):
            often = PHRASE * count > MOST_OF_PHRASE * sum(map(len, sentences))
            again = count - once[phrase] >= LEAST_AGAIN
            worded = len(set(phrase)) > 1 and any(len(word) > 3 and word.isalpha() for word in phrase)  # no formula
            if often and again and worded:
                return " ".join(phrase)
    return None


def _paragraph_again(paragraphs: Sequence[str]) -> str | None:
    """A paragraph that shares most of its trigrams with an earlier one."""
    last: dict[int, int] = {}  # the last paragraph with each trigram
    sizes: list[int] = []
    for number, paragraph in enumerate(paragraphs):
        grams = set(windows(hashed(_words(paragraph)), 3).tolist())
        sizes.append(len(grams))
        if len(grams) >= LEAST_WORDS_OF_A_PARAGRAPH:
            common = Counter(last[gram] for gram in grams if gram in last).most_common(1)
            for before, count in common:
                if count / (len(grams) + sizes[before] - count) >= ALIKE:
                    return " ".join(paragraph.split())[:80]
        last |= dict.fromkeys(grams, number)
    return None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _opening(text: str) -> str:
    """The complete lines of its first characters, or these characters if there is no line end."""
    return text if len(text) <= OPENING else whole_lines(text[:OPENING]) or text[:OPENING]


def _sentence_twice(sentences: Sequence[str]) -> str | None:
    """A sentence that equals the one before except for fillers, or has a long part of it."""
    for one, other in pairwise(words for words in map(_words, sentences) if words):
        shorter, longer = sorted((len(one), len(other)))
        if shorter >= LEAST_WORDS_OF_A_SENTENCE and _meant(one) == _meant(other):
            return " ".join(other)
        if shorter >= LEAST_RUN and _longest_run(one, other) >= max(LEAST_RUN, MOST_OF_A_SENTENCE * longer):
            return " ".join(other)
    return None


def _longest_run(one: Sequence[str], other: Sequence[str]) -> int:
    """The number of words in a row that both have."""
    return SequenceMatcher(None, one, other, autojunk=False).find_longest_match().size


def _item_twice(lines: Sequence[str]) -> str | None:
    """A list item that equals the one before."""
    items = [_words(_ITEM.sub("", line)) if _ITEM.match(line) else [] for line in lines if line.strip()]
    for one, other in pairwise(items):
        if one == other and len(one) >= LEAST_WORDS_OF_AN_ITEM:
            return " ".join(other)
    return None


def _few_items(lines: Sequence[str]) -> bool:
    """Whether a list has the same few items over and over, "1. red 2. blue 3. red", or ends in one item."""
    items = [" ".join(_words(_ITEM.sub("", line))) for line in lines if _ITEM.match(line)]
    if len(items) < LEAST_ITEMS:
        return False
    ends_in_one = len(set(items[-LEAST_ITEMS:])) == 1 and not items[-1].replace(" ", "").isdigit()
    return ends_in_one or (all(map(str.isalpha, "".join(items))) and 2 * len(set(items)) <= len(items))


def _meant(sentence: Sequence[str]) -> list[str]:
    return [word for word in sentence if word not in _FILLERS]


def _again(parts: Sequence[str]) -> list[bool]:
    """For each part whether it occurred before. Single words and numbers may repeat."""
    seen: set[str] = set()
    again = []
    for part in parts:
        again.append(part in seen)
        if " " in part and any(map(str.isalpha, part)):
            seen.add(part)
    return again
