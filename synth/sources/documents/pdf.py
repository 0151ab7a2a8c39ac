"""Reads PDF: the lines of each page as PDFium has them, put together to paragraphs and headings.

A PDF file has neither. A line begins a paragraph if it is set lower or larger than the next line of one would be, or is
an item of a list. A short paragraph of larger letters than most of the file's is a heading, of a level by its size.
Lines that recur at the top or bottom of pages are left out. Tables are lines of text like others.

Promises: a file that is encrypted, or has pages without any text, is named as such; no page is drawn.
"""

import ctypes
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synth.sources.documents.blocks import Block, Document, Unreadable, normal

LARGER = 1.15  # letters of a heading, relative to those of most text
LONGEST_HEADING = 200  # characters
_WIDER = 1.3  # a gap between paragraphs, relative to that between lines
_RECURS = 0.5  # of the pages
_PASSWORD = 4  # PDFium's error code
_HYPHENS = ("\x02", "\ufffe", "\xad")
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_ITEM = re.compile(r"(?:[•◦▪‣●○–*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_NO_TITLE = re.compile(r"\(?(?:anonymous|untitled)\)?|.*\.\w{2,5}", re.IGNORECASE)  # a program's own, or a file's name
_ENDED = re.compile(r"[.!?:;。！？…][\"'”’)\]]*$")


@dataclass(frozen=True, slots=True)
class Line:
    """`size` is the height of its letters and `top` their place, in points from the page's bottom."""

    text: str
    page: int
    size: float
    top: float


def pdf(data: bytes, encodings: Sequence[str]) -> Document:
    import pypdfium2 as pdfium

    try:
        file = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code == _PASSWORD:
            raise Unreadable("is encrypted: a password opens it") from None
        raise Unreadable(f"is not a readable PDF file: {error}") from None
    pages = []
    for index in range(len(file)):
        try:
            pages.append(list(_lines(file[index], index + 1)))
        except pdfium.PdfiumError as error:
            raise Unreadable(f"has a page {index + 1} that can't be read: {error}") from None
    if not any(pages):
        images = "page" if len(pages) == 1 else f"{len(pages)} pages"
        raise Unreadable(f"has no text on its {images}: a scan needs text recognition first")
    title = file.get_metadata_dict().get("Title", "").removeprefix("Microsoft Word - ")
    return Document(None if _NO_TITLE.fullmatch(title) else title, _blocks(_without_recurring(pages)))


def _lines(page: Any, number: int) -> Iterator[Line]:
    import pypdfium2.raw as raw

    text = page.get_textpage()
    count = text.count_chars()
    box = raw.FS_RECTF()
    characters: list[str] = []
    first = None  # the number of the line's first visible character
    for index in range(count + 1):
        code = raw.FPDFText_GetUnicode(text, index) if index < count else 10
        if code not in (10, 13):
            sign = chr(code) if code < 0x110000 else "\ufffd"
            characters.append(sign)
            if first is None and not sign.isspace():
                first = index
            continue
        if first is not None:
            raw.FPDFText_GetLooseCharBox(text, first, ctypes.byref(box))
            shown = "".join(characters).strip()
            yield Line(shown, number, round(abs(box.top - box.bottom), 1), box.top)
        characters, first = [], None


def _without_recurring(pages: list[list[Line]]) -> list[Line]:
    """All lines but headers and footers: what stands first or last on most pages, whatever its numbers."""
    edges = [{_pattern(line) for line in [*page[:2], *page[-2:]]} for page in pages]
    counts = Counter(pattern for edge in edges for pattern in edge)
    recurring = {pattern for pattern, count in counts.items() if count >= 3 and count > _RECURS * len(pages)}
    kept = []
    for page in pages:
        for at, line in enumerate(page):
            is_edge = at < 2 or at >= len(page) - 2
            if not (is_edge and _pattern(line) in recurring):
                kept.append(line)
    return kept or [line for page in pages for line in page]  # where all pages are the same


def _pattern(line: Line) -> str:
    return re.sub(r"\d+", "0", line.text)


def _blocks(lines: Sequence[Line]) -> list[Block]:
    sizes = Counter[float]()
    for line in lines:
        sizes[line.size] += len(line.text)
    body = max(sizes, key=lambda size: (sizes[size], size), default=0.0)
    larger = sorted({line.size for line in lines if line.size > LARGER * body}, reverse=True)
    gaps = Counter(round(gap, 1) for one, two in itertools.pairwise(lines) if (gap := _gap(one, two)) > 0)
    usual = gaps.most_common(1)[0][0] if gaps else 0.0
    blocks = []
    for group in _groups(lines, usual):
        text = normal(_joined([line.text for line in group]))
        level = 1 + larger.index(group[0].size) if group[0].size in larger else 0
        is_heading = level and len(text) <= LONGEST_HEADING and any(sign.isalpha() for sign in text)
        kind, level = ("heading", min(level, 6)) if is_heading else ("paragraph", 0)
        blocks.append(Block(kind, text, level, group[0].page))  # type: ignore[arg-type]
    return blocks


def _gap(one: Line, two: Line) -> float:
    """From one line down to the next of the same letters; 0 for other neighbours."""
    return one.top - two.top if one.page == two.page and abs(one.size - two.size) < 0.6 else 0.0


def _groups(lines: Sequence[Line], usual: float) -> Iterator[list[Line]]:
    group: list[Line] = []
    for line in lines:
        if group and _begins(group[-1], line, usual):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _begins(before: Line, line: Line, usual: float) -> bool:
    """Whether a line begins a paragraph."""
    if abs(before.size - line.size) >= 0.6 or _ITEM.match(line.text):
        return True
    if line.page != before.page or line.top > before.top:  # on the next page or in the next column
        return bool(_ENDED.search(before.text))
    return before.top - line.top > _WIDER * max(usual, line.size)


def _joined(lines: Sequence[str]) -> str:
    """The words of lines: a hyphen that PDFium takes for one at a line's end is left out."""
    text = "".join(line[:-1] if line.endswith(_HYPHENS) else f"{line} " for line in lines)
    for one, letters in _LIGATURES.items():
        text = text.replace(one, letters)
    return " ".join(text.translate(dict.fromkeys(map(ord, _HYPHENS), "-")).split())
