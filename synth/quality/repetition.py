"""Text that goes round in circles.

Three kinds of repetition are measured:

* Lines and paragraphs that were there before: their share of all and of the text (Rae et al., the Gopher paper, arXiv
  2112.11446, table A1, whose bounds these are).
* Words in a row that were there before. A sentence may be said twice, so two bounds hold: one for what is said again,
  and a far lower one for what is said a third time and more. The paper's own bounds on words were made for web pages
  and find a third of good short answers repetitive; these are measured (benchmarks/filters.py).
* A sentence or an item of a list that follows on nearly the same one, a few words many times in a row, and a long
  paragraph that comes again nearly as it was.

Words are runs of letters and digits in lower case, and a row of numbers alone is none. Code and tables are left out:
good ones repeat themselves. Verse may have a refrain: it is judged by its lines, of which six in ten may be refrain. A
text is verse as its first 1,000 characters are.

What it does not know: a drill is repetition too. In a language without blanks between words only lines are compared;
what runs in circles there is found by synth/quality/gibberish.py.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from itertools import compress, pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Share
from synth.quality.ngrams import hashed, windows
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

LEAST_LINES = 4  # of fewer, two that are alike are a large share
OPENING = 1000  # characters by which verse is told from prose
REFRAIN = 0.6  # of a poem or a song
LEAST_WORDS_OF_A_LINE = 12  # shorter ones may come twice: "- [ ]: a blank or nothing"
LEAST_WORDS_OF_A_SENTENCE = 8  # shorter ones may be said twice in a row: "Run, run!"
LEAST_WORDS_OF_AN_ITEM = 3
LEAST_WORDS_OF_A_PARAGRAPH = 25
ALIKE = 0.75  # of the three words in a row that two paragraphs have
PHRASE = 3  # words, not all the same
LEAST_AGAIN = 3  # times that a phrase comes in sentences that had it already
MOST_OF_PHRASE = 0.25  # of a paragraph's words
_IN_A_ROW = {1: 20, 2: 6, 3: 4, 4: 4, 5: 4, 6: 3, 7: 3, 8: 3}  # words, and how often is too often: "la la la" may be
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+")
_NUMBER = re.compile(r"^\s*\d+[.)]\s+")
_FILLERS = frozenset("a again also and but just so still the then too".split())
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Repetition(TextFilter):
    """Rejects a record, as `repeated_lines` or `repeated_words`, if too much of a text in `column` is repetition.

    `lines` and `paragraphs` bound the share of those that were there before, `line_text` and `paragraph_text` their
    share of the text; null is no bound. `duplicate_words` has the share of words, by n, that may stand in n words in a
    row that were there before; `looped_words` in those that were there twice before. `adjacent` false allows for two
    sentences or items in a row that are nearly the same, and for a few words many times in a row or in a paragraph. Of
    fewer than `min_words` words `duplicate_words` judges none, and of fewer than four lines `lines`. Also: `no_COLUMN`.
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
            told = without_tables(prose(text))
            verse = is_verse(_opening(told))
            self._look_at_lines(told, verse)
            if not verse:
                self._look_at_words(told)
                self._look_for_echoes(told, _SENTENCE_END.split(told), told.splitlines(), _PARAGRAPH_END.split(told))
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """Of a text that is no verse, and has been in circles for so long that its most other words make up for none of
        it: a token brings one at the most. Shares of lines may be mended by what follows."""
        for text in beginnings(record, self.column):
            told = without_tables(prose(whole_words(text)))
            if len(told) < OPENING or is_verse(_opening(told)):
                continue
            try:
                self._look_at_words(told, len(_words(text)) + left)
                # The last of each may not be over.
                sentences, lines = _SENTENCE_END.split(told)[:-1], whole_lines(told).splitlines()
                self._look_for_echoes(told, sentences, lines, _PARAGRAPH_END.split(told)[:-1])
            except Rejection as found:
                return found
        return None

    def _look_at_lines(self, text: str, verse: bool) -> None:
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
                raise Rejection("repeated_lines", f"{share:.0%} of the {name} were there before")
            repeated = list(compress(stripped, again))
            if len(repeated) == 1 and len(repeated[0].split()) < LEAST_WORDS_OF_A_LINE:
                continue
            share = sum(map(len, repeated)) / sum(map(len, stripped))
            if most_text is not None and share > (REFRAIN if verse else most_text):
                raise Rejection("repeated_lines", f"{share:.0%} of the text are {name} that were there before")

    def _look_at_words(self, text: str, of: int | None = None) -> None:
        """Raises Rejection for too large a share of all words, or of so many."""
        words = Words(_words(_INLINE_CODE.sub(" ", text)))
        whole = len(words) / of if of else 1.0
        for n, most in self.looped_words.items():
            share = words.said_before(n, times=2) * whole
            if share > most:
                raise Rejection("repeated_words", f"{share:.0%} of the text are {n} words in a row for a third time")
        if len(words) < self.min_words:
            return
        for n, most in self.duplicate_words.items():
            share = words.said_before(n) * whole
            if share > most:
                raise Rejection("repeated_words", f"{share:.0%} of the text are {n} words in a row that come again")

    def _look_for_echoes(
        self, text: str, sentences: Sequence[str], lines: Sequence[str], paragraphs: Sequence[str]
    ) -> None:
        """Raises Rejection for what follows on nearly the same, or comes again as a paragraph, whatever its share."""
        if self.adjacent and (said := _sentence_twice(sentences) or _item_twice(lines)):
            raise Rejection("repeated_words", f"twice in a row: {said!r}")
        if self.adjacent and (said := _said_in_a_row(text)):
            raise Rejection("repeated_words", f"again and again: {said!r}")
        if self.adjacent and (said := _phrase_again(lines)):
            raise Rejection("repeated_words", f"again and again: {said!r}")
        if self.paragraphs is not None and (said := _paragraph_again(paragraphs)):
            raise Rejection("repeated_lines", f"a paragraph comes again: {said!r}")


class Words:
    """The words of a text, ready to be compared."""

    def __init__(self, words: Sequence[str]):
        self._hashed = hashed(words)
        self._worded = np.fromiter((not word.isdigit() for word in words), np.int64, len(words))

    def __len__(self) -> int:
        return len(self._hashed)

    def said_before(self, n: int, *, times: int = 1) -> float:
        """The share of the words that stand in n words in a row, not all numbers, that were there so often before."""
        grams = windows(self._hashed, n)
        if not len(grams):
            return 0.0
        order = np.argsort(grams, kind="stable")  # equal ones side by side, the earlier first
        starts = np.flatnonzero(np.diff(grams[order], prepend=~grams[order[:1]]))
        rank = np.arange(len(grams)) - np.repeat(starts, np.diff(starts, append=len(grams)))
        worded = np.convolve(self._worded, np.ones(n, np.int64), "valid") > 0
        again = order[(rank >= times) & worded[order]]
        inside = np.zeros(len(self) + 1, np.int64)
        np.add.at(inside, again, 1)
        np.add.at(inside, again + n, -1)
        return float((np.cumsum(inside[:-1]) > 0).mean())


def _said_in_a_row(text: str) -> str | None:
    """A few words that come many times in a row: "the red worm, the red worm, the red worm, the red worm"."""
    words = _words(_INLINE_CODE.sub(" ", text))
    hashes = hashed(words)
    for period, least in _IN_A_ROW.items():
        again = np.flatnonzero(np.diff(hashes[period:] == hashes[:-period], prepend=False, append=False))
        for start, end in zip(again[::2], again[1::2], strict=True):
            phrase = words[start : start + period]
            if end - start >= period * (least - 1) and not all(map(str.isdigit, phrase)):
                return " ".join(phrase)
    return None


def _phrase_again(paragraphs: Sequence[str]) -> str | None:
    """Three words of which a good part of a paragraph is made: "the World Cup saw the World Cup of the World Cup". Once
    in each sentence they may be: "The capital of Italy is Rome."."""
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
    """A paragraph most of whose three words in a row stand in one that came before."""
    last: dict[int, int] = {}  # the paragraph in which three words stood last
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
    """The whole lines of its first characters, or these where there is no line among them."""
    return text if len(text) <= OPENING else whole_lines(text[:OPENING]) or text[:OPENING]


def _sentence_twice(sentences: Sequence[str]) -> str | None:
    """A sentence that says the same as the one before but for fillers."""
    for one, other in pairwise(words for words in map(_words, sentences) if words):
        if min(len(one), len(other)) >= LEAST_WORDS_OF_A_SENTENCE and _meant(one) == _meant(other):
            return " ".join(other)
    return None


def _item_twice(lines: Sequence[str]) -> str | None:
    """An item of a list that says the same as the one before."""
    items = [_words(_ITEM.sub("", line)) if _ITEM.match(line) else [] for line in lines if line.strip()]
    for one, other in pairwise(items):
        if one == other and len(one) >= LEAST_WORDS_OF_AN_ITEM:
            return " ".join(other)
    return None


def _meant(sentence: Sequence[str]) -> list[str]:
    return [word for word in sentence if word not in _FILLERS]


def _again(parts: Sequence[str]) -> list[bool]:
    """For each part whether the same was there before. Single words and numbers may come again."""
    seen: set[str] = set()
    again = []
    for part in parts:
        again.append(part in seen)
        if " " in part and any(map(str.isalpha, part)):
            seen.add(part)
    return again
