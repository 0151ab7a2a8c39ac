"""Rows out of text files: JSON lines, a list in JSON, and CSV.

Each reader takes an open binary file and gives (line, row) one at a time, lines counted from 1; in place of a row that
can't be used it gives Bad, and goes on with the next one. Raises Torn where it can't go on.

Promises: a file is read as its rows are asked for; no more of it is in memory than one row and a block of 1 MiB. No
row is longer than 256 MiB. Text is UTF-8, with or without a byte order mark.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from synth.records import Record

BLOCK = 2**20
LONGEST = 2**28

# Pandas and others write NaN for what is missing.
_JSON = json.JSONDecoder(parse_constant=lambda name: None)
_SPACE = re.compile(r"[ \t\n\r]*")


class Bad(str):
    """Why a row can't be used."""


class Torn(ValueError):
    """From this line on a file can't be read."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line = line


Rows = Iterator[tuple[int, Record | Bad]]


def json_lines(file: BinaryIO) -> Rows:
    """An object a line. Blank lines don't count as rows."""
    line = 0
    while raw := file.readline(LONGEST + 1):
        line += 1
        if len(raw) > LONGEST:
            raise Torn(line, f"is longer than {LONGEST >> 20} MiB")
        if line == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if raw.strip():
            yield line, _parsed(raw.rstrip(b"\r\n"))


def json_list(file: BinaryIO) -> Rows:
    """One list of objects; or an object a line, which many .json files have."""
    start = file.read(BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    file.seek(0)
    if start == b"{":
        yield from json_lines(file)
    elif start:
        yield from _items(_Scanner(io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")))


def delimited(file: BinaryIO, delimiter: str = ",") -> Rows:
    """A header, then a row of texts for each record; a quoted field may span lines."""
    csv.field_size_limit(LONGEST)
    reader = csv.reader(
        io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline=""), delimiter=delimiter, strict=True
    )
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fields, reason = [], str(error)
        else:
            if not fields:
                continue
            if not header:
                header = _header(fields, line)
                continue
            reason = _wrong(fields, header)
        if not header:
            raise Torn(line, f"has no readable header: {reason}")
        yield line, Bad(reason) if reason else dict(zip(header, fields, strict=True))


def _parsed(raw: bytes) -> Record | Bad:
    try:
        return _object(_JSON.decode(raw.decode()))
    except UnicodeDecodeError as error:
        return Bad(f"is no UTF-8 (byte {error.start + 1} of the line)")
    except json.JSONDecodeError as error:
        return Bad(f"is no JSON: {error.msg} (column {error.colno})")
    except RecursionError:
        return Bad("is nested too deeply")
    except ValueError as error:  # a number with thousands of digits
        return Bad(f"is no JSON that can be read: {error}")


def _object(value: Any) -> Record | Bad:
    if isinstance(value, dict):
        return value
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return Bad(f"is {kinds.get(type(value), 'a number')}: an object is expected")


def _items(text: "_Scanner") -> Rows:
    if text.mark() != "[":
        raise Torn(text.line, "is neither a list of objects nor an object a line")
    mark = text.mark()
    if mark == "]":
        return
    text.back()
    while True:
        yield text.item()
        mark = text.mark()
        if mark == "]":
            return
        if mark != ",":
            raise Torn(text.line, "is no JSON: a comma or the list's end is expected")


class _Scanner:
    """A window that moves over a long JSON text."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._window, self._at = "", 0
        self._line, self._counted = 1, 0  # the line at `_counted`

    @property
    def line(self) -> int:
        self._line += self._window.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def mark(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            self._at = _SPACE.match(self._window, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._window):
                self._at += 1
                return self._window[self._at - 1]
            if not self._more(BLOCK):
                return ""

    def back(self) -> None:
        """Before the mark."""
        self._at -= 1

    def item(self) -> tuple[int, Record | Bad]:
        """The value that comes next, and its line."""
        if self.mark():
            self.back()
        line = self.line
        block = BLOCK
        while True:
            try:
                value, end = _JSON.raw_decode(self._window, self._at)
                if end < len(self._window) or not self._more(block):  # 12 may go on as 123
                    break
            except json.JSONDecodeError as error:
                if self._is_within(error) or len(self._window) - self._at > LONGEST or not self._more(block):
                    within = self._window.count("\n", self._at, error.pos)
                    raise Torn(line + within, f"is no JSON: {error.msg}") from None
            except RecursionError:
                raise Torn(line, "is nested too deeply") from None
            except ValueError as error:
                raise Torn(line, f"is no JSON that can be read: {error}") from None
            block *= 2  # so that a long item is not begun anew too often
        raw = self._window[self._at : end]
        self._at = end
        return line, _object(value) if _is_utf8(raw) else Bad("is no UTF-8")

    def _is_within(self, error: json.JSONDecodeError) -> bool:
        """Whether more text would not help: what looks wrong at the window's end may only be cut off there."""
        return not error.msg.startswith("Unterminated string") and error.pos + 16 < len(self._window)

    def _more(self, size: int) -> bool:
        read = self._stream.read(size)
        if read:
            _ = self.line
            self._window = self._window[self._at :] + read
            self._at = self._counted = 0
        return bool(read)


def _header(fields: list[str], line: int) -> list[str]:
    if reason := _wrong(fields, fields):
        raise Torn(line, reason)
    twice = next((name for name in fields if fields.count(name) > 1), None)
    if twice is not None:
        raise Torn(line, f"has the column {twice!r} twice")
    return fields


def _wrong(fields: list[str], header: list[str]) -> str:
    if len(fields) != len(header):
        return f"has {len(fields)} fields, the header has {len(header)}"
    return "" if _is_utf8("".join(fields)) else "is no UTF-8"


def _is_utf8(text: str) -> bool:
    """Bytes that are no UTF-8 were decoded to lone surrogates, which have no encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
