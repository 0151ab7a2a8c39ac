"""Reads CSV and TSV: a header, then a row of strings per record.

`delimited` takes an open binary file and yields (line, row), lines counted from 1; an unusable row is replaced by Bad.
A row with an unclosed quotation mark is bad on its own: the next line begins the next row. Raises Torn if there is no
valid header.

Promises: the file is streamed. A row has at most 256 MiB, and 16 MiB if it spans lines; no more is in memory. Text is
UTF-8, with or without a byte order mark.
"""

import csv
import io
import re
from collections import deque
from dataclasses import dataclass
from typing import BinaryIO

from synth.sources import LONGEST, Bad, Rows, Torn
from synth.sources.json_text import is_utf8

BLOCK = 2**20
LONGEST_OVER_LINES = 2**24

_DELIMITERS = ",;\t|"
_QUOTED = r'''"source.quote='\"'"'''
_SPREADSHEETS = re.compile(r'"?sep=(.)"?[\r\n]*')  # a first line that declares the delimiter


@dataclass(frozen=True)
class Dialect:
    """Delimiter, quotation mark and escape character. `is_given`: the user chose the delimiter."""

    delimiter: str
    quote: str | None
    escape: str | None = None
    is_given: bool = False


CSV = Dialect(",", '"')
TSV = Dialect("\t", None)


def delimited(file: BinaryIO, dialect: Dialect = CSV) -> Rows:
    """A quoted field may span lines. Unnamed columns are named as in pandas, and dropped if they are empty."""
    csv.field_size_limit(LONGEST)
    lines = _Lines(file)
    if named := _SPREADSHEETS.fullmatch(lines.peek()):
        next(lines)
        dialect = dialect if dialect.is_given else Dialect(named[1], dialect.quote, dialect.escape, True)
    quoting = csv.QUOTE_NONE if dialect.quote is None else csv.QUOTE_MINIMAL
    signs = {"delimiter": dialect.delimiter, "quotechar": dialect.quote, "escapechar": dialect.escape}
    reader = csv.reader(lines, strict=True, quoting=quoting, **signs)  # type: ignore[arg-type]
    header: list[str] = []
    while True:
        lines.taken.clear()
        line = lines.number + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = _reason(error, lines.taken, dialect)
            lines.back()
            fields = []
        else:
            if not fields or (len(fields) == 1 != len(header) and not fields[0].strip()):
                continue  # a blank line
            if not header:
                header = _header(fields, line, dialect)
                continue
            reason = _wrong(fields, header, lines.taken, dialect)
        if not header:
            raise Torn(line, f"has no readable header: {reason}")
        yield line, Bad(reason) if reason else _row(header, fields)


class _Lines:
    """The lines of a file; the lines of a row can be put back."""

    def __init__(self, file: BinaryIO):
        self._text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
        self._again: deque[str] = deque()
        self.taken: list[str] = []  # since it was last cleared: the lines of one row
        self._size = 0
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        """Raises csv.Error for a row that is too long, which then ends."""
        line = self._again.popleft() if self._again else self._text.readline(LONGEST)
        if not line:
            raise StopIteration
        self._size = self._size + len(line) if self.taken else len(line)
        self.taken.append(line)
        self.number += 1
        if len(line) >= LONGEST:
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(BLOCK)
            raise csv.Error(f"is longer than {LONGEST >> 20} MiB")
        if len(self.taken) > 1 and self._size > LONGEST_OVER_LINES:
            raise csv.Error(f"spans lines of more than {LONGEST_OVER_LINES >> 20} MiB")
        return line

    def peek(self) -> str:
        line = self._text.readline(LONGEST)
        if line:
            self._again.append(line)
        return line

    def back(self) -> None:
        """Put all lines but the first back."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken[1:])


def _header(fields: list[str], line: int, dialect: Dialect) -> list[str]:
    """The column names, without unnamed ones at the end."""
    if not is_utf8("".join(fields)):
        raise Torn(line, "is not UTF-8")
    while fields and not fields[-1].strip():
        fields.pop()
    if not fields:
        raise Torn(line, "has no column names")
    names = [name if name.strip() else f"Unnamed: {index}" for index, name in enumerate(fields)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Torn(line, f"has the column {twice!r} twice")
    if len(names) == 1 and not dialect.is_given and (likely := _likely(names[0], dialect)):
        raise Torn(line, f"has only one column, {names[0]!r}; if the delimiter is another one, set {likely}")
    return names


def _likely(name: str, dialect: Dialect) -> str:
    """The key for the delimiter that would split the name into most columns."""
    found = max(_DELIMITERS.replace(dialect.delimiter, ""), key=name.count)
    return f"{_key(found)}, else {_key(dialect.delimiter)}" if found in name else ""


def _key(delimiter: str) -> str:
    return "source.delimiter=tab" if delimiter == "\t" else f"'source.delimiter=\"{delimiter}\"'"


def _wrong(fields: list[str], header: list[str], lines: list[str], dialect: Dialect) -> str:
    while len(fields) > len(header) and not fields[-1].strip():
        fields.pop()
    if len(fields) != len(header):
        quoted = dialect.quote is None and any('"' in line for line in lines)
        hint = f"; if fields are quoted, set {_QUOTED}" if quoted else ""
        return f"has {len(fields)} fields, the header has {len(header)}{hint}"
    return "" if is_utf8("".join(fields)) else "is not UTF-8"


def _reason(error: csv.Error, lines: list[str], dialect: Dialect) -> str:
    """Why a row is bad, and which key may help."""
    message = str(error)
    if message == "unexpected end of data" and dialect.escape and lines[-1].rstrip("\r\n").endswith(dialect.escape):
        return "ends with the escape character"
    if message == "unexpected end of data":
        reason = "has a quotation mark that is never closed"
    elif "expected after" in message:
        reason = "continues after a closing quotation mark"
    else:
        return message
    if dialect.escape is None and f"\\{dialect.quote}" in "".join(lines[:1]):
        return f"{reason}; if a backslash escapes such marks, set 'source.escape=\\\\'"
    return f"{reason}; if quotation marks are part of the text, set source.quote=null"


def _row(header: list[str], fields: list[str]) -> dict[str, str]:
    row = dict(zip(header, fields, strict=True))
    return {name: text for name, text in row.items() if text.strip() or not name.startswith("Unnamed: ")}
