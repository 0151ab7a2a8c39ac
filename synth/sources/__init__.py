"""Where records come from: a source gives rows, plain dicts, one after the other.

A component of its own is any class with these attributes: Files and Hub are two. Its rows are read once, by the one
process that starts a run, and written into the run's folder (see store.py); workers read them there by number. So
neither its size, nor where it is, nor whether it is there tomorrow matters to a run.

Promises: memory stays flat, whatever a source's size. What a row holds is data: nothing of it is ever run.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol, TypeGuard

from pydantic import BeforeValidator, Field

from synth.records import Record

# {new name: name in the source}; null in a YAML stands for none, because Hydra lets an override set that.
Renamed = Annotated[dict[str, str], BeforeValidator(lambda given: {} if given is None else given)]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used, by `file` and `line` (a row's number where a format has no lines), both from 1."""

    file: str
    line: int
    reason: str


class Bad(str):
    """Why a row can't be used: what a reader of files gives in the row's place."""


class Torn(ValueError):
    """From this line on a file can't be read; line 0 for a file without lines."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line = line


# What a reader of files gives: (line or number, row), counted from 1.
Rows = Iterator[tuple[int, Record | Bad]]

LONGEST = 2**28  # bytes of a row
DEEPEST = 200  # lists and objects within each other: all that handles a record goes down as far


def too_deep(value: Any, brackets: int) -> bool:
    """Whether a value is nested more than DEEPEST deep. `brackets` is how many it has as JSON: few need no look."""
    level = [value] if brackets > DEEPEST else []
    for _ in range(DEEPEST):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [one for values in inner for one in values if isinstance(one, dict | list | tuple)]
    return bool(level)


class Source(Protocol):
    """A class with `stamp` and `read` is one. The four attributes are seen to by Synth: where a class does not have
    them, they are keys of its YAML all the same, with these defaults.

    `columns` renames: {new name: name in the source}. Of the rows, `limit` are taken; all are gone through `repeat`
    times. `bad_rows` says what becomes of those that can't be used. `str()` is its name, as a user knows it.
    """

    columns: Renamed = MappingProxyType({})  # type: ignore[assignment]
    limit: Annotated[int, Field(ge=1)] | None = None
    repeat: Annotated[int, Field(ge=1)] = 1
    bad_rows: Literal["stop", "set_aside"] = "stop"

    def stamp(self) -> Any:
        """Plain data that differs, as far as can be told without reading it, when the content does.

        Raises ConfigError for what is not there.
        """
        ...

    def read(self) -> Iterator[Record | BadRow]:
        """Its rows, one at a time. Raises ConfigError where none can be read, or no more."""
        ...


class RowsByNumber(Protocol):
    """Rows that were read, by their numbers from 0, over and over."""

    def __len__(self) -> int: ...

    def row(self, number: int) -> Record: ...


class DrawnSource(Source, Protocol):
    """A source without end, whose records are drawn by their numbers from what it read, if anything. `labels` are the
    columns that stay beside a row, with Arrow's words for their types, and `kinds` what each column holds."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def kinds(self) -> dict[str, list[str]]: ...

    def drawn(self, seed: int, number: int, rows: RowsByNumber, only: Collection[str] | None = None) -> Record:
        """With `only`, at least these columns. Raises Rejection for a record that can't be drawn, and OSError."""
        ...


def is_drawn(source: Source | None) -> TypeGuard[DrawnSource]:
    return hasattr(source, "drawn")
