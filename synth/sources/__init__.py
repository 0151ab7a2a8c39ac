"""Sources of records: a source yields rows, which are plain dicts.

Any class with the attributes of `Source` is one, such as Files and Hub. Its rows are read once, by the process that
starts a run, and written into the run's folder (store.py), where workers read them by number. So the size and location
of a source, and whether it still exists tomorrow, don't matter to a run.

Promises: memory is constant for sources of any size. Content of a row is never executed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol, TypeGuard

from pydantic import BeforeValidator, Field

from synth.records import Record

# {new name: name in the source}; null in YAML means none, because Hydra overrides can't set an empty mapping otherwise.
Renamed = Annotated[dict[str, str], BeforeValidator(lambda given: {} if given is None else given)]


@dataclass(frozen=True, slots=True)
class BadRow:
    """An unusable row, by `file` and `line` (the row's number for formats without lines), both from 1. Line 0: all of
    the file."""

    file: str
    line: int
    reason: str


class Bad(str):
    """The reason why a row is unusable, from a reader of files in the row's place."""


class Torn(ValueError):
    """The file can't be read from this line on; line 0 for a file without lines."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line = line


# Output of a reader of files: (line or number, row), counted from 1.
Rows = Iterator[tuple[int, Record | Bad]]

LONGEST = 2**28  # bytes of a row
DEEPEST = 200  # nesting of lists and objects that all code for records can handle


def too_deep(value: Any, brackets: int) -> bool:
    """Whether a value is nested deeper than DEEPEST. `brackets` is their number in its JSON: few can't be too deep."""
    if brackets <= DEEPEST:
        return False
    level = [value]
    for _ in range(DEEPEST):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list | tuple)]
    return bool(level)


class Source(Protocol):
    """A class with `stamp` and `read`. Synth provides the four attributes: if a class lacks them, they are still keys
    of its YAML, with these defaults.

    `columns` renames: {new name: name in the source}. Of the rows, `limit` are used, `repeat` times. `bad_rows` sets
    what happens to unusable ones. `str()` is its name for users.
    """

    columns: Renamed = MappingProxyType({})  # type: ignore[assignment]
    limit: Annotated[int, Field(ge=1)] | None = None
    repeat: Annotated[int, Field(ge=1)] = 1
    bad_rows: Literal["stop", "set_aside"] = "stop"

    def stamp(self) -> Any:
        """Plain data that changes when the content does, as far as that is visible without reading it.

        Raises ConfigError if the source does not exist.
        """
        ...

    def read(self) -> Iterator[Record | BadRow]:
        """Its rows, one at a time. Raises ConfigError if none can be read, or no more."""
        ...


class RowsByNumber(Protocol):
    """Stored rows by number, from 0."""

    def __len__(self) -> int: ...

    def row(self, number: int) -> Record: ...


class DrawnSource(Source, Protocol):
    """A source without end, whose records are drawn by number, from its stored rows if it has any. `labels` are drawn
    columns with their Arrow types, and `kinds` the kinds of values in each column."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def kinds(self) -> dict[str, list[str]]: ...

    def drawn(self, seed: int, number: int, rows: RowsByNumber, only: Collection[str] | None = None) -> Record:
        """With `only`, at least these columns. Raises Rejection for a record that can't be drawn, and OSError."""
        ...


def is_drawn(source: Source | None) -> TypeGuard[DrawnSource]:
    return hasattr(source, "drawn")
