"""Text that says nothing in any language: one character over and over, loops, line noise, broken bytes.

By counting alone, so that it holds for every script. A loop is told by how well a text compresses: DEFLATE (RFC 1951)
writes English prose in about half of its bytes, and a sentence that is said ten times in about a tenth. The share of
words with a letter or digit in them is a rule of the Gopher paper (arXiv 2112.11446, appendix A.1.1).

What counts is chosen so that a number sequence, a matrix, a sum or a drawn table is none: of characters the same over
and over, not a frequent one; of words all but operators and lines.

What it does not know: words that don't exist, and grammar. Random letters that look like words are found by
synth/quality/language.py, more or less: they are in no language.
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

LEAST_CHARACTERS = 40  # in a row are too many of one; fewer are a line to fill in
_RULE = re.compile(r"^[ \t]*(?=.{3,100}$)[-=_*~#+|\u2500-\u257f]+[ \t]*$", re.MULTILINE)
_OPERATOR = re.compile(r"[-+*/=<>^|&.,:≤≥×÷\u2500-\u257f]|[\u2500-\u257f]+|\\\\?[\[\]()]")
BROKEN = "\ufffd"
LEAST_TO_COMPRESS = 200  # bytes, below which DEFLATE's own tables weigh too much


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Gibberish(TextFilter):
    """Rejects a record, as `gibberish`, for a text in `column` that one of these finds; null switches it off.

    `top_character`: the most of a text, blanks aside, that may be one character over and over. `compressed`: the
    least share of its bytes that must be left when it is compressed. `worded`: the least share of its words with a
    letter or digit in them, operators aside. `broken`: how many U+FFFD it may hold, which stand for bytes that were no
    text. Fenced code, tables and ruled lines are left out of all but the last. Also: `no_COLUMN`.
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
        """Of a text with broken bytes in it: shares may be mended by what follows."""
        for text in beginnings(record, self.column):
            if self.broken is not None and text.count(BROKEN) > self.broken:
                return Rejection("gibberish", f"{self.column}: bytes that are no text")
        return None

    def _found(self, text: str) -> str | None:
        """What is wrong with a text, in words."""
        if self.broken is not None and text.count(BROKEN) > self.broken:
            return "bytes that are no text"
        words = _without_rules(text).split()
        letters = "".join(words)
        if len(letters) < LEAST_CHARACTERS:
            return None
        character, count = _longest_run(letters)
        if self.top_character is not None and count >= max(LEAST_CHARACTERS, self.top_character * len(letters)):
            return f"{count} times {character!r} in a row"
        told = [any(map(str.isalnum, word)) for word in words if not _OPERATOR.fullmatch(word)]
        share = sum(told) / len(told) if told else 1.0
        if self.worded is not None and share < self.worded:
            return f"{share:.0%} of its words have a letter or digit"
        left = compression(text)
        if self.compressed is not None and left < self.compressed:
            return f"compresses to {left:.0%}"
        return None


def compression(text: str) -> float:
    """The share of a text's bytes that is left when its prose is compressed; 1 where that is too short to tell."""
    raw = _without_rules(text).encode("utf-8", "replace")
    if len(raw) < LEAST_TO_COMPRESS:
        return 1.0
    return len(zlib.compress(raw, 6)) / len(raw)


def _without_rules(text: str) -> str:
    """The text without fenced code, the rows of tables, and lines that are drawn."""
    return _RULE.sub("", without_tables(prose(text)))


def _longest_run(text: str) -> tuple[str, int]:
    """The character that comes most often in a row, the first of several, and how often."""
    return max(((character, len(list(run))) for character, run in groupby(text)), key=itemgetter(1))
