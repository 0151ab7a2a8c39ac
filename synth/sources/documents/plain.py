"""Reads text and Markdown: decoded bytes to blocks.

Promises: every line of the text that is not blank is in one block, in its order, except a Markdown file's front matter
and comments.
"""

import codecs
import re
from collections.abc import Iterator, Sequence

from synth.sources.documents.blocks import Block, Document, Kind, Unreadable, normal

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_TITLE = re.compile(r"""^title:[ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
_COMMENT = re.compile(r"\s*(?:<!--.*?-->\s*)+", re.DOTALL)
_NAMES: dict[str, Kind] = {"fence": "code", "code_block": "code", "table_open": "table"}
_NAMES |= {"bullet_list_open": "list", "ordered_list_open": "list", "heading_open": "heading"}
_DEEPEST = 20  # nested lists and quotations; what is deeper is text


def decoded(data: bytes, encodings: Sequence[str]) -> str:
    """The text, in the encoding of its byte order mark, else in the first of these that fits. Raises Unreadable."""
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    tried = [marked] if marked else list(encodings)
    for name in tried:
        try:
            text = data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\0" in text:
            raise Unreadable("is no text: it has NUL characters")
        return normal(text)
    others = "" if marked else "; source.encoding=[utf-8,latin-1] tries another encoding after it"
    raise Unreadable(f"is not {' or '.join(tried)}{others}")


def text(data: bytes, encodings: Sequence[str]) -> Document:
    """Paragraphs, which blank lines separate."""
    parts = re.split(r"\n(?:[ \t]*\n)+", decoded(data, encodings))
    return Document(None, [Block("paragraph", part.strip("\n")) for part in parts])


def markdown(data: bytes, encodings: Sequence[str]) -> Document:
    return of_markdown(decoded(data, encodings))


def of_markdown(text: str, title: str | None = None) -> Document:
    """The blocks of Markdown (CommonMark with tables), as they stand in the text."""
    if front := _FRONT_MATTER.match(text):
        named = _TITLE.search(front[1])
        title, text = title or (named and named[2]), text[front.end() :]
    return Document(title, list(_blocks(text)))


def _blocks(text: str) -> Iterator[Block]:
    from markdown_it import MarkdownIt

    lines = text.split("\n")
    done = 0
    for token in MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).enable("table").parse(text):
        if token.level or token.map is None or token.nesting < 0:
            continue
        start, stop = token.map
        if start > done:  # definitions of links, which are no blocks
            yield Block("paragraph", _joined(lines[done:start]))
        done = max(done, stop)
        shown = _joined(lines[start:stop])
        if token.type == "hr" or (token.type == "html_block" and _COMMENT.fullmatch(shown)):
            continue
        kind = _NAMES.get(token.type, "paragraph")
        yield Block(kind, shown, int(token.tag[1:]) if kind == "heading" else 0)
    yield Block("paragraph", _joined(lines[done:]))


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n")
