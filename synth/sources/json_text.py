"""Reads JSON: an object per line, or one list of objects.

Each reader takes an open binary file and yields (line, row), lines counted from 1; an unusable row is replaced by Bad.
Raises Torn if it can't continue.

Promises: the file is streamed; memory holds one row and a block of 1 MiB. A row has at most 256 MiB. Text is UTF-8,
with or without a byte order mark.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from synth.records import Record
from synth.sources import DEEPEST, LONGEST, Bad, Rows, Torn, too_deep

BLOCK = 2**20
LONGEST_WRONG = 2**24  # bytes of an object that is no row: enough to describe it

_SPACE = re.compile(r"[ \t\n\r]*")
_NEEDED = "expected a list of objects, or an object per line"
_NEEDED_A_LINE = "expected an object per line"
_OR_A_LIST = "; set source.format=json for a list of objects"


def _object_of(pairs: list[tuple[str, Any]]) -> Record:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


# Pandas and others write NaN for missing values.
_CONSTANTS = {"NaN": None, "Infinity": float("inf"), "-Infinity": float("-inf")}
_JSON = json.JSONDecoder(parse_constant=_CONSTANTS.get, object_pairs_hook=_object_of)
_LENIENT = json.JSONDecoder(parse_int=str)  # finds the end of values that _JSON refuses


def json_lines(file: BinaryIO) -> Rows:
    """An object per line. Blank lines are skipped."""
    for line, raw in _lines(file):
        if raw is None:
            yield line, Bad(f"is longer than {LONGEST >> 20} MiB")
        elif raw.strip():
            yield line, _parsed(raw)


def json_list(file: BinaryIO) -> Rows:
    """One list of objects; or an object per line, as in many .json files."""
    start = b""
    while not start and (read := file.readline(BLOCK)):
        start = read.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    file.seek(0)
    if start == b"{":
        yield from _objects(file)
    elif start:
        yield from _items(_Scanner(_text(file)))


def _text(file: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file, without their ends; None for one that is too long."""
    line = 0
    while raw := file.readline(LONGEST + 1):
        line += 1
        if len(raw) > LONGEST:
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(BLOCK)
            yield line, None
            continue
        raw = raw.rstrip(b"\r\n").removeprefix(codecs.BOM_UTF8)  # concatenated files may each begin with the mark
        if b"\r" not in raw or isinstance(_parsed(raw), dict):
            yield line, raw
            continue
        pieces = raw.split(b"\r")  # line ends of old Macs
        yield from enumerate(pieces, line)
        line += len(pieces) - 1


def _objects(file: BinaryIO) -> Rows:
    """An object per line, in a file that may instead be a single object over all lines."""
    rows = json_lines(file)
    first, second = next(rows, None), next(rows, None)
    if first is not None and (isinstance(first[1], Bad) or second is None):
        line, row = first
        is_whole = isinstance(row, dict)
        if not is_whole:
            file.seek(0)
            row = _first_object(file)
        if isinstance(row, dict) and (reason := _why_no_row(row, is_whole)):
            raise Torn(line, reason)
        if not is_whole:
            file.seek(0)
            rows, first, second = json_lines(file), None, None
    for one in (first, second):
        if one is not None:
            yield one
    yield from rows


def _first_object(file: BinaryIO) -> Record | Bad:
    text = _text(file)
    try:
        return _Scanner(text, LONGEST_WRONG).item()[1]
    except Torn as torn:
        return Bad(torn)
    finally:
        text.detach()


def _why_no_row(found: Record, is_whole: bool) -> str:
    """Why a file's only object is no row, or an empty string: one of its values may contain the rows."""
    inside = [name for name, value in found.items() if isinstance(value, list) and value and _are_objects(value)]
    if inside:
        what = f"is a single object, {_NEEDED}; its {inside[0]!r} is a list of objects"
    elif found and all(isinstance(value, list | dict) for value in found.values()):
        what = f"is a single object of columns, {_NEEDED}; pandas writes that with orient='records'"
    else:
        return "" if is_whole else f"is an object over several lines, {_NEEDED}"
    return what + ("; set source.format=jsonl to use it as a row" if is_whole else "")


def _are_objects(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _parsed(raw: bytes) -> Record | Bad:
    """The object in a line."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return Bad(f"is not UTF-8 (byte {error.start + 1} of the line)")
    text = text.rstrip(" \t\r\n")
    start: int = _SPACE.match(text).end()  # type: ignore[union-attr]
    try:
        value, end = _decoded(text, start)
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, _SPACE.match(text, end).end())  # type: ignore[union-attr]
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text) or error.msg.startswith("Unterminated string")
        if is_cut and text[start] in "{[":
            what, hint = ("an object", "") if text[start] == "{" else ("a list", _OR_A_LIST)
            return Bad(f"ends within {what}, {_NEEDED_A_LINE}{hint}")
        return Bad(f"is not JSON: {error.msg} (column {error.colno})")
    except RecursionError:
        return Bad(f"is nested more than {DEEPEST} deep")
    if isinstance(value, list) and value and _are_objects(value):
        return Bad(f"is a list, {_NEEDED_A_LINE}{_OR_A_LIST}")
    return _object(value, text.count("{") + text.count("["))


def _decoded(text: str, at: int) -> tuple[Any, int]:
    """The value at a position and its end; Bad for a value that is complete but unusable.

    Raises json.JSONDecodeError and RecursionError.
    """
    try:
        return _JSON.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # a repeated key, a number with thousands of digits
        return Bad(error), _LENIENT.raw_decode(text, at)[1]


def _object(value: Any, brackets: int) -> Record | Bad:
    if isinstance(value, Bad):
        return value
    if isinstance(value, dict):
        return Bad(f"is nested more than {DEEPEST} deep") if too_deep(value, brackets) else value
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return Bad(f"is {kinds.get(type(value), 'a number')}, expected an object")


def _items(text: "_Scanner") -> Rows:
    if text.mark() != "[":
        raise Torn(text.line, f"is something else, {_NEEDED}")
    mark = text.mark()
    if mark not in ("", "]"):
        text.back()
    while mark != "]":
        yield text.item()
        mark = text.mark()
        if mark not in ("]", ","):
            raise Torn(text.line, "is not JSON: expected a comma or the end of the list")
    if text.mark():
        raise Torn(text.line, "continues after the end of the list, expected one list of objects")


class _Scanner:
    """A sliding window over a long JSON text."""

    def __init__(self, stream: TextIO, longest: int = LONGEST):
        self._stream, self._longest = stream, longest
        self._window, self._at = "", 0
        self._line, self._counted = 1, 0  # the line at `_counted`

    @property
    def line(self) -> int:
        self._line += self._window.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def mark(self) -> str:
        """The next non-space character; empty at the end."""
        while True:
            self._at = _SPACE.match(self._window, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._window):
                self._at += 1
                return self._window[self._at - 1]
            if not self._more(BLOCK):
                return ""

    def back(self) -> None:
        """Move back before the last mark."""
        self._at -= 1

    def item(self) -> tuple[int, Record | Bad]:
        """The next value, and its line."""
        if self.mark():
            self.back()
        line = self.line
        block = BLOCK
        while True:
            try:
                value, end = _decoded(self._window, self._at)
                if end < len(self._window) or not self._more(block):  # a number 12 may continue as 123
                    break
            except json.JSONDecodeError as error:
                if self._is_within(error) or len(self._window) - self._at > self._longest or not self._more(block):
                    within = self._window.count("\n", self._at, error.pos)
                    raise Torn(line + within, f"is not JSON: {error.msg}") from None
            except RecursionError:
                raise Torn(line, f"is nested more than {DEEPEST} deep") from None
            block *= 2  # so that a long item is not parsed too often
        raw = self._window[self._at : end]
        self._at = end
        return line, _object(value, raw.count("{") + raw.count("[")) if is_utf8(raw) else Bad("is not UTF-8")

    def _is_within(self, error: json.JSONDecodeError) -> bool:
        """Whether the error is real, and not due to the end of the window."""
        return not error.msg.startswith("Unterminated string") and error.pos + 16 < len(self._window)

    def _more(self, size: int) -> bool:
        read = self._stream.read(size)
        if read:
            _ = self.line
            self._window = self._window[self._at :] + read
            self._at = self._counted = 0
        return bool(read)


def is_utf8(text: str) -> bool:
    """Invalid UTF-8 was decoded to lone surrogates, which can't be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
