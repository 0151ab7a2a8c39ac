"""The common form of all documents: a title, and blocks of text in reading order.

Each format's reader makes a Document; the cutter (cutter.py) reads nothing else. The text of any format is untrusted,
and `normal` leaves no control characters, one kind of line break, and no lone surrogates in it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["heading", "paragraph", "list", "table", "code"]
_KINDS = frozenset(get_args(Kind))

MOST_TEXT = 2**25  # characters of a document

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_LINE_BREAKS = {"\x85": "\n", "\u2028": "\n", "\u2029": "\n", "\x0b": "\n", "\x0c": "\n"}


class Unreadable(ValueError):
    """The reason why a document has no text that can be used."""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading with its `level` from 1, or another block. `page` counts from 1, None for formats without pages."""

    kind: Kind
    text: str
    level: int = 0
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    title: str | None
    blocks: Sequence[Block]

    def plain(self) -> list[Any]:
        """The document as plain data, for JSON."""
        return [self.title, [[block.kind, block.text, block.level, block.page] for block in self.blocks]]

    @classmethod
    def of_plain(cls, data: Any) -> "Document":
        """The document of `plain()`. Raises Unreadable for other data."""
        try:
            title, blocks = data
            made = [Block(kind, text, level, page) for kind, text, level, page in blocks]
        except (TypeError, ValueError):
            raise Unreadable("was converted to no document") from None
        if not all(block.kind in _KINDS and isinstance(block.text, str) for block in made):
            raise Unreadable("was converted to no document")
        return cls(title if isinstance(title, str) else None, made)


def normal(text: str) -> str:
    """Line breaks as \\n, and control characters and lone surrogates left out."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(lambda found: _LINE_BREAKS.get(found[0], ""), text)


def checked(document: Document) -> Document:
    """The document without empty blocks. Raises Unreadable if nothing is left, or too much."""
    blocks = [block for block in document.blocks if block.text.strip()]
    if not any(block.kind != "heading" for block in blocks):
        raise Unreadable("has no text" if not blocks else "has headings only")
    if sum(len(block.text) for block in blocks) > MOST_TEXT:
        raise Unreadable(f"has more than {MOST_TEXT:,} characters of text")
    title = " ".join(normal(document.title or "").split())[:300]
    return Document(title or _first_heading(blocks), blocks)


def _first_heading(blocks: Sequence[Block]) -> str | None:
    """The first heading of the highest level that there is: what a reader takes for the title."""
    headings = [block for block in blocks if block.kind == "heading"]
    return heading_words(min(headings, key=lambda one: one.level).text) if headings else None


def heading_words(text: str) -> str:
    """The words of a heading, without Markdown's marks around them."""
    lines = text.strip().splitlines()
    if len(lines) > 1 and set(lines[-1].strip()) <= {"=", "-"}:
        lines = lines[:-1]
    words = re.sub(r"^#{1,6}(?=\s)|(?<=\s)#+$", "", " ".join(lines).strip())
    return " ".join(re.sub(r"(?<!\w)[*_`]{1,3}|[*_`]{1,3}(?!\w)", "", words).split())
