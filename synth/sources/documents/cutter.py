"""Cuts a document's blocks into passages of at most so many tokens.

A block stays whole where it fits into a passage. A heading stays with what follows it; a paragraph or a list that would
fit alone is cut for that. A larger block is cut at its lines (tables, code), items (lists) or sentences (paragraphs),
and only where one of these is too large, between words or characters. A section begins a passage of its own where the
passage before it is at least half full. Otherwise a passage begins with the end of the one before it: whole blocks or
sentences of up to `overlap` tokens.

Promises: without the overlaps, the passages are the blocks' texts in their order; all white space within a block that
does not fall on a cut is kept. No passage has more than `size` tokens. Equal blocks give equal passages.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from synth.sources.documents.blocks import Block, Kind, heading_words

Count = Callable[[str], int]  # tokens of a text

_SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9À-ÞА-Я])|(?<=[。！？])")
_ITEM = re.compile(r"\n+(?=[-*+] |\d{1,9}[.)] )")
_LINE = re.compile(r"\n+")
_WORD = re.compile(r"\s+")
_CUTS: dict[Kind, tuple[re.Pattern[str], ...]] = {
    "heading": (_WORD,),
    "paragraph": (_SENTENCE, _LINE, _WORD),
    "list": (_ITEM, _LINE, _SENTENCE, _WORD),
    "table": (_LINE, _WORD),
    "code": (_LINE, _WORD),
}
_BETWEEN = "\n\n"  # blocks


@dataclass(frozen=True, slots=True)
class Passage:
    """`text` begins with `overlap` characters of the passage before it. `headings` are those above its own beginning,
    the highest first, and `page` is the page of it."""

    text: str
    headings: tuple[str, ...] = ()
    page: int | None = None
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a block that is not cut further. `before`, of `between` tokens, separates it from the piece before."""

    text: str
    tokens: int
    before: str
    between: int
    headings: tuple[str, ...]
    page: int | None
    is_code: bool  # or a table: no sentences


@dataclass(slots=True)
class _Cutter:
    count: Count
    size: int
    overlap: int
    tail: list[_Piece] = field(default_factory=list)  # the overlap with the passage before
    pieces: list[_Piece] = field(default_factory=list)
    spaces: dict[str, int] = field(default_factory=dict)

    def cut(self, blocks: Iterable[Block]) -> Iterator[Passage]:
        trail: list[tuple[int, str]] = []
        held: list[Block] = []  # headings that wait for what follows them
        for block in blocks:
            if block.kind == "heading":
                trail = [heading for heading in trail if heading[0] < block.level]
                trail.append((block.level, heading_words(block.text)))
                held.append(block)
                continue
            yield from self._add([*held, block], tuple(words for _, words in trail))
            held = []
        if held:
            yield from self._add(held, tuple(words for _, words in trail))
        while self.pieces:
            yield self._closed()

    def _add(self, unit: Sequence[Block], headings: tuple[str, ...]) -> Iterator[Passage]:
        """Takes headings and the block that they stand above."""
        begins_section = unit[0].kind == "heading"
        if begins_section and (not self.pieces or 2 * _tokens([*self.tail, *self.pieces]) >= self.size):
            while self.pieces:
                yield self._closed()
            self.tail = []
        *heads, body = [self._piece(block, headings) for block in unit]
        if _tokens([*heads, body]) <= self.size:
            yield from self._take([*heads, body])
            return
        room = self.size - _tokens(heads) - body.between
        is_cut_for_them = unit[-1].kind in ("paragraph", "list") and 2 * room >= self.size
        parts = self._cut(body, _CUTS[unit[-1].kind], room if is_cut_for_them else self.size)
        heads = [part for head in heads for part in self._cut(head, _CUTS["heading"], self.size)]
        first = [*heads, next(parts)]
        for some in [first] if _tokens(first) <= self.size else [[one] for one in first]:
            yield from self._take(some)
        for part in parts:
            yield from self._take([part])

    def _take(self, some: Sequence[_Piece]) -> Iterator[Passage]:
        """Closes passages until there is room for the pieces, where there is none beside an overlap, without it."""
        while self.pieces and _tokens([*self.tail, *self.pieces, *some]) > self.size:
            yield self._closed()
        while self.tail and not self.pieces and _tokens([*self.tail, *some]) > self.size:
            self.tail = self.tail[1:]
        self.pieces.extend(some)

    def _closed(self) -> Passage:
        """The passage of the pieces so far. Those that turn out to be too many are left for the next one."""
        tail, pieces = self.tail, self.pieces
        while self.count(_text([*tail, *pieces])) > self.size:
            if len(pieces) > 1:
                pieces = pieces[:-1]
            elif tail:
                tail = tail[1:]
            else:
                break  # a single character, or piece that was counted before
        self.pieces = self.pieces[len(pieces) :]
        self.tail = self._overlap(pieces)
        text = _text([*tail, *pieces])
        overlap = len(_text([*tail, replace(pieces[0], text="")])) if tail else 0
        first = pieces[0]
        return Passage(text, first.headings, first.page, overlap)

    def _overlap(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        """The last pieces, or sentences of the last one."""
        taken: list[_Piece] = []
        for piece in reversed(pieces):
            if _tokens([piece, *taken]) <= self.overlap:
                taken.insert(0, piece)
                continue
            if not piece.is_code:
                for sentence in reversed(list(self._split(piece, _SENTENCE))):
                    if _tokens([sentence, *taken]) > self.overlap:
                        break
                    taken.insert(0, sentence)
            break
        return taken

    def _piece(self, block: Block, headings: tuple[str, ...]) -> _Piece:
        is_code, text = block.kind in ("code", "table"), block.text.rstrip()
        return _Piece(text, self.count(text), _BETWEEN, self._space(_BETWEEN), headings, block.page, is_code)

    def _space(self, before: str) -> int:
        """The tokens of what separates two pieces; a single space is part of the word behind it."""
        if before not in self.spaces:
            self.spaces[before] = 0 if before in ("", " ") else self.count(before)
        return self.spaces[before]

    def _cut(self, piece: _Piece, patterns: Sequence[re.Pattern[str]], most: int) -> Iterator[_Piece]:
        """The piece in parts of at most so many tokens."""
        if piece.tokens <= most:
            yield piece
        elif patterns:
            for part in self._split(piece, patterns[0]):
                yield from self._cut(part, patterns[1:], most)
        else:
            yield from self._by_characters(piece, most)

    def _split(self, piece: _Piece, pattern: re.Pattern[str]) -> Iterator[_Piece]:
        start, before = 0, piece.before
        for found in pattern.finditer(piece.text):
            stop = found.start() + len(found[0]) - len(found[0].lstrip("\"'”’)]"))
            if stop > start:
                yield self._part(piece, piece.text[start:stop], before)
                start, before = found.end(), piece.text[stop : found.end()]
        if start < len(piece.text):
            yield self._part(piece, piece.text[start:], before)

    def _by_characters(self, piece: _Piece, most: int) -> Iterator[_Piece]:
        start, before, window = 0, piece.before, 64 * most
        while start < len(piece.text):
            text = piece.text[start : start + window]
            fits, not_yet = 1, len(text) + 1  # so many characters
            while not_yet - fits > 1:
                middle = (fits + not_yet) // 2
                fits, not_yet = (middle, not_yet) if self.count(text[:middle]) <= most else (fits, middle)
            yield self._part(piece, text[:fits], before)
            start, before = start + fits, ""

    def _part(self, piece: _Piece, text: str, before: str) -> _Piece:
        return replace(piece, text=text, tokens=self.count(text), before=before, between=self._space(before))


def cut(blocks: Iterable[Block], count: Count, size: int, overlap: int) -> Iterator[Passage]:
    """The passages of a document's blocks."""
    return _Cutter(count, size, overlap).cut(blocks)


def _tokens(pieces: Sequence[_Piece]) -> int:
    """Of each piece and of what is between two. `_closed` counts the whole."""
    return sum(piece.tokens + (piece.between if at else 0) for at, piece in enumerate(pieces))


def _text(pieces: Sequence[_Piece]) -> str:
    return "".join(piece.before + piece.text if at else piece.text for at, piece in enumerate(pieces))
