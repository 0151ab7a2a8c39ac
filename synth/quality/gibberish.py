"""Text that says nothing in any language: one character over and over, loops, line noise, broken bytes.

By counting alone, so that it holds for every script. A loop is told by how well a text compresses: DEFLATE (RFC 1951)
writes English prose in about half of its bytes, and a sentence that is said ten times in about a tenth. The share of
words with a letter or digit in them is a rule of the Gopher paper (arXiv 2112.11446, appendix A.1.1).

What it does not know: words that don't exist, and grammar. Random letters that look like words are found by
synth/quality/language.py, more or less: they are in no language.
"""

import zlib
from collections import Counter
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Share
from synth.quality.texts import columns_of, missing, prose, texts, without_tables
from synth.records import Record, Rejection

LEAST_CHARACTERS = 40  # of fewer, one that comes often is a large share
LEAST_TO_COMPRESS = 200  # bytes, below which DEFLATE's own tables weigh too much


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Gibberish:
    """Rejects a record, as `gibberish`, for a text in `column` that one of these finds; null switches it off.

    `top_character`: the most of a text, blanks aside, that may be one and the same character. `compressed`: the
    least share of its bytes that must be left when it is compressed. `worded`: the least share of its words with a
    letter or digit in them. `broken`: how many U+FFFD it may hold, which stand for bytes that were no text.
    Fenced code is left out of all but the last, tables of the first and third. Also: `no_COLUMN`.
    """

    column: str = "response"
    top_character: Share | None = 0.3
    compressed: Share | None = 0.15
    worded: Share | None = 0.6
    broken: Annotated[int, Field(ge=0)] | None = 0

    columns: ClassVar[dict[str, str]] = {}

    @property
    def rejections(self) -> tuple[str, ...]:
        return ("gibberish", missing(self.column))

    def needs(self) -> list[tuple[str, ...]]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []

    def __call__(self, record: Record, llm: Any) -> Record:
        for text in texts(record, self.column):
            if found := self._found(text):
                raise Rejection("gibberish", f"{self.column}: {found}")
        return record

    def _found(self, text: str) -> str | None:
        """What is wrong with a text, in words."""
        if self.broken is not None and text.count("\ufffd") > self.broken:
            return "bytes that are no text"
        words = without_tables(prose(text)).split()
        letters = "".join(words)
        if len(letters) < LEAST_CHARACTERS:
            return None
        top, count = Counter(letters).most_common(1)[0]
        if self.top_character is not None and count / len(letters) > self.top_character:
            return f"{count / len(letters):.0%} of it is {top!r}"
        share = sum(any(map(str.isalnum, word)) for word in words) / len(words)
        if self.worded is not None and share < self.worded:
            return f"{share:.0%} of its words have a letter or digit"
        left = compression(text)
        if self.compressed is not None and left < self.compressed:
            return f"compresses to {left:.0%}"
        return None


def compression(text: str) -> float:
    """The share of a text's bytes that is left when its prose is compressed; 1 where that is too short to tell."""
    raw = prose(text).encode("utf-8", "replace")
    if len(raw) < LEAST_TO_COMPRESS:
        return 1.0
    return len(zlib.compress(raw, 6)) / len(raw)
