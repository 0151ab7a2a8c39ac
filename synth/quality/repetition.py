"""Text that goes round in circles (Rae et al., the Gopher paper, arXiv 2112.11446, appendix A.1.1 and table A1).

Two kinds of repetition are measured. Lines and paragraphs: the share of them that were there before, and their share
of the text. Words in a row (n-grams): the share of the text that the most frequent one covers, and for longer ones
the share that all those cover that are there twice or more, each word counted once.

Shares of words are by their letters, without the blanks between, and signs that stand alone are no words. Fenced
code is left out: good code repeats itself.
The thresholds are those of the paper, which were made for web pages.

What it does not know: a poem's refrain, a table or a drill is repetition too. In a language without blanks between
words only lines are compared; what runs in circles there is found by synth/quality/gibberish.py.
"""

import re
from collections.abc import Sequence
from dataclasses import field
from itertools import compress
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Share
from synth.quality.ngrams import hashed, windows
from synth.quality.texts import columns_of, missing, prose, texts
from synth.records import Record, Rejection

Size = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Repetition:
    """Rejects a record, as `repeated_lines` or `repeated_words`, if too much of a text in `column` is repetition.

    `lines` and `paragraphs` bound the share of those that were there before, `line_text` and `paragraph_text` their
    share of the text; null is no bound. `top_words` has the share that may be covered by the most frequent n words in a
    row, by n; `duplicate_words` that by all n words in a row that come again. A text of fewer than `min_words` words is
    judged by its lines alone, of which it takes four. Also: `no_COLUMN`.
    """

    column: str = "response"
    lines: Share | None = 0.3
    paragraphs: Share | None = 0.3
    line_text: Share | None = 0.2
    paragraph_text: Share | None = 0.2
    top_words: dict[Size, Share] = field(default_factory=lambda: {2: 0.2, 3: 0.18, 4: 0.16})
    duplicate_words: dict[Size, Share] = field(
        default_factory=lambda: {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}
    )
    min_words: Size = 50

    columns: ClassVar[dict[str, str]] = {}

    @property
    def rejections(self) -> tuple[str, ...]:
        return ("repeated_lines", "repeated_words", missing(self.column))

    def needs(self) -> list[tuple[str, ...]]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []

    def __call__(self, record: Record, llm: Any) -> Record:
        for text in texts(record, self.column):
            told = prose(text)
            self._look_at_lines(told)
            self._look_at_words(Words([word for word in told.split() if any(map(str.isalnum, word))]))
        return record

    def _look_at_lines(self, text: str) -> None:
        for name, parts, most, most_text in (
            ("lines", text.splitlines(), self.lines, self.line_text),
            ("paragraphs", re.split(r"\n\s*\n", text), self.paragraphs, self.paragraph_text),
        ):
            stripped = [part.strip() for part in parts if part.strip()]
            if len(stripped) < LEAST_LINES:
                continue
            again = _again(stripped)
            share = sum(again) / len(again)
            if most is not None and share > most:
                raise Rejection("repeated_lines", f"{share:.0%} of the {name} were there before")
            share = sum(map(len, compress(stripped, again))) / sum(map(len, stripped))
            if most_text is not None and share > most_text:
                raise Rejection("repeated_lines", f"{share:.0%} of the text are {name} that were there before")

    def _look_at_words(self, words: "Words") -> None:
        if len(words) < self.min_words:
            return
        for n, most in self.top_words.items():
            share = words.covered(n, top_only=True)
            if share > most:
                raise Rejection("repeated_words", f"{share:.0%} of the text are the same {n} words in a row")
        for n, most in self.duplicate_words.items():
            share = words.covered(n)
            if share > most:
                raise Rejection("repeated_words", f"{share:.0%} of the text are {n} words in a row that come again")


LEAST_LINES = 4  # of fewer, two that are alike are a large share


class Words:
    """The words of a text, ready to be compared."""

    def __init__(self, words: Sequence[str]):
        self._hashed = hashed(words)
        self._letters = np.fromiter(map(len, words), np.int64, len(words))
        self._before = np.concatenate([[0], np.cumsum(self._letters)])

    def __len__(self) -> int:
        return len(self._hashed)

    def covered(self, n: int, *, top_only: bool = False) -> float:
        """The share of the letters in n-grams that are there twice or more, or in the most frequent one of these."""
        grams = windows(self._hashed, n)
        order = np.argsort(grams, kind="stable")
        ends = np.flatnonzero(np.diff(grams[order], append=~grams[order[-1:]]))  # of runs of equal ones
        counts = np.diff(ends, prepend=-1)
        if not len(counts) or counts.max() == 1:
            return 0.0
        if top_only:
            # Of equally frequent ones that with the most letters, then the first: the same in every process.
            most = np.flatnonzero(counts == counts.max())
            first = order[ends[most] - counts[most] + 1]
            top = most[np.lexsort((first, self._before[first] - self._before[first + n]))[0]]
            starts = order[ends[top] - counts[top] + 1 : ends[top] + 1]
        else:
            starts = order[np.repeat(counts > 1, counts)]
        inside = np.zeros(len(self) + 1, np.int64)
        np.add.at(inside, starts, 1)
        np.add.at(inside, starts + n, -1)
        return float(self._letters[np.cumsum(inside[:-1]) > 0].sum() / self._before[-1])


def _again(parts: Sequence[str]) -> list[bool]:
    """For each part whether the same was there before."""
    seen: set[str] = set()
    again = []
    for part in parts:
        again.append(part in seen)
        seen.add(part)
    return again
