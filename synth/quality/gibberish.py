"""Rejects meaningless text in any script: repeated characters, loops, line noise, broken bytes.

By counting only, so that it works in every language. Loops are found by compression: DEFLATE (RFC 1951) halves English
prose, and reduces a sentence repeated ten times to about a tenth. The share of words with a letter or digit is a rule
of the Gopher paper (arXiv 2112.11446, appendix A.1.1).

The measures spare number sequences, matrices, sums and drawn tables: a character must be repeated in a row, not just be
frequent; operators and rules don't count as words.

Limits: invented words and grammar. Random letters that look like words are mostly found by synth/quality/language.py:
they are in no language.
"""

import re
import zlib
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Share
from synth.quality.text_filter import TextFilter
from synth.quality.texts import beginnings, prose, texts, without_tables
from synth.records import Record, Rejection

LEAST_CHARACTERS = 40  # in a row, of one character; fewer are a line to fill in
_RULE = re.compile(r"^[ \t]*(?=.{3,100}$)[-=_*~#+|\u2500-\u257f]+[ \t]*$", re.MULTILINE)
_OPERATOR = re.compile(r"[-+*/=<>^|&.,:≤≥×÷\u2500-\u257f]|[\u2500-\u257f]+|\\\\?[\[\]()]")
BROKEN = "\ufffd"
LEAST_TO_COMPRESS = 200  # bytes, below which DEFLATE's own overhead dominates


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Gibberish(TextFilter):
    """Rejects a record as `gibberish` if a text in `column` fails one of these measures; null switches one off.

    `top_character`: the largest share of a text, spaces aside, that may be one character in a row. `compressed`: the
    smallest share of its bytes after compression. `worded`: the smallest share of its words with a letter or digit,
    operators aside. `broken`: the number of U+FFFD it may contain, which replace undecodable bytes. Fenced code, tables
    and ruled lines are left out of all but the last. Also: `no_COLUMN`.
    """

    top_character: Share | None = 0.3
    compressed: Share | None = 0.15
    worded: Share | None = 0.4
    broken: Annotated[int, Field(ge=0)] | None = 0

    reasons: ClassVar[tuple[str, ...]] = ("gibberish",)

    def __call__(self, record: Record, llm: Any) -> Record:
        for text in texts(record, self.column):
            if found := self._found(text):
                raise Rejection("gibberish", f"{self.column}: {found}")
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """For broken bytes in a partial text only: shares may still improve."""
        for text in beginnings(record, self.column):
            if self.broken is not None and text.count(BROKEN) > self.broken:
                return Rejection("gibberish", f"{self.column}: bytes that are no text")
        return None

    def _found(self, text: str) -> str | None:
        """The reason for a rejection, or None."""
        if self.broken is not None and text.count(BROKEN) > self.broken:
            return "bytes that are no text"
        words = _without_rules(text).split()
        letters = "".join(words)
        if len(letters) < LEAST_CHARACTERS:
            return None
        character, count = _longest_run(letters)
        if self.top_character is not None and count >= max(LEAST_CHARACTERS, self.top_character * len(letters)):
            return f"{count} times {character!r} in a row"
        worded = [any(map(str.isalnum, word)) for word in words if not _OPERATOR.fullmatch(word)]
        share = sum(worded) / len(worded) if worded else 1.0
        if self.worded is not None and share < self.worded:
            return f"{share:.0%} of its words have a letter or digit"
        left = compression(text)
        if self.compressed is not None and left < self.compressed:
            return f"compresses to {left:.0%}"
        return None


def compression(text: str) -> float:
    """The compressed share of the bytes of a text's prose; 1 if it is too short to tell."""
    raw = _without_rules(text).encode("utf-8", "replace")
    if len(raw) < LEAST_TO_COMPRESS:
        return 1.0
    return len(zlib.compress(raw, 6)) / len(raw)


def _without_rules(text: str) -> str:
    """The text without fenced code, table rows and ruled lines."""
    return _RULE.sub("", without_tables(prose(text)))


def _longest_run(text: str) -> tuple[str, int]:
    """The character with the longest run, the first if there are several, and the length of the run."""
    return max(((character, len(list(run))) for character, run in groupby(text)), key=itemgetter(1))
