"""A source of drawn records: each column is drawn from a distribution, as a function of run seed and record number.

It has no end. Only the rows of datasets that it draws from are stored; a worker draws a record's row when it runs the
record. So the same seed gives the same rows on any machine, and a column keeps its values when another column is added.
"""

import bisect
import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.components.instantiate import build
from synth.errors import ConfigError, nearest
from synth.messages import COLUMNS
from synth.records import CONTRACT_COLUMNS, Record, derive_seed, rejected_schema
from synth.sources import BadRow, RowsByNumber, Source
from synth.sources.distributions import (
    Cases,
    Distribution,
    DrawnRow,
    Filled,
    SameRow,
    case_of,
    distribution_of,
    tables_of,
)
from synth.sources.files import Files

SHIPPED = {"personas": Path(__file__).with_name("personas.jsonl")}
_KINDS = {"string": "text", "int64": "number", "double": "number", "bool": "truth value"}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Grid:
    """`draw` has a distribution for each column (synth/sources/distributions.py). Columns may read others, in any
    order, without cycles. All of them are columns of the dataset.

    `bad_rows` is for the datasets that rows are drawn from.
    """

    draw: dict[str, Any]
    bad_rows: Literal["stop", "set_aside"] = "stop"

    def __post_init__(self) -> None:
        made = {name: distribution_of(node, f"source.draw.{name}", name) for name, node in self._given.items()}
        object.__setattr__(self, "draw", made)
        for name in made:
            if name in set(rejected_schema().names) - set(COLUMNS.values()):  # text columns may be drawn
                raise ConfigError(f"source.draw.{name}: is a column that every dataset has; choose another name")
            if not name.isidentifier():
                raise ConfigError(f"source.draw.{name}: column names consist of letters, digits and _")
        for name, one in made.items():
            self._refuse_unknown(name, one)
        _ = self._order
        for table in self._tables:
            self._source(table)

    @property
    def _given(self) -> dict[str, Any]:
        given = {str(name): node for name, node in self.draw.items() if node is not None}
        if not given:
            raise ConfigError("source.draw: needs at least one column, such as {category: [math, code]}")
        return given

    def __str__(self) -> str:
        return f"a grid of {', '.join(self.draw)}"

    @property
    def labels(self) -> dict[str, str]:
        """The drawn columns beside those of every dataset, with their Arrow types."""
        return {name: one.kind for name, one in self.draw.items() if name not in CONTRACT_COLUMNS}

    @property
    def kinds(self) -> dict[str, list[str]]:
        """The kinds of values in each column (kinds.py)."""
        return {name: [_KINDS[one.kind]] for name, one in self.draw.items()}

    def stamp(self) -> list[Any]:
        """The stamps of its datasets."""
        stamps = []
        for table in self._tables:
            with _with_key(table):
                stamps.append([table.table, self._source(table).stamp()])
        return stamps

    def read(self) -> Iterator[Record | BadRow]:
        """The rows of all datasets to draw from, as {table, row}."""
        for at, one in enumerate(self._tables):
            wanted, source = self._columns_of(one), self._source(one)
            there = 0
            with _with_key(one):
                for number, given in enumerate(source.read(), 1):
                    row = given if isinstance(given, BadRow) else _fitted(given, wanted, str(source), number)
                    there += not isinstance(row, BadRow)
                    yield row if isinstance(row, BadRow) else {"table": at, "row": row}
            if not there:
                raise ConfigError(f"{one.table}.rows: {source} has no row with {', '.join(wanted)}")

    def drawn(self, seed: int, number: int, rows: RowsByNumber, only: Collection[str] | None = None) -> Record:
        """The row of a record; with `only`, these columns and those that they read. Raises Rejection if a template does
        not fit, and OSError."""
        record: Record = {}
        chosen: dict[str, Record] = {}  # rows of datasets by column
        for name in self._order if only is None else self._needed(only):
            one = case_of(self.draw[name], record)
            if isinstance(one, DrawnRow):
                chosen[name] = self._row(one, seed, number, rows)
                record[name] = chosen[name][one.column]
            elif isinstance(one, SameRow):
                record[name] = chosen[one.row_of][one.column]
            else:
                record[name] = one.value(derive_seed(seed, "grid", number, name) / 2**63, record)
        return {name: record[name] for name in self.draw if name in record}

    def _row(self, one: DrawnRow, seed: int, number: int, rows: RowsByNumber) -> Record:
        """In a new order for each pass through the dataset, by a full-cycle step."""
        start, stop = self._span(one, rows)
        count = stop - start
        drawn = derive_seed(seed, "grid", "rows", one.table, number // count)
        step = 1 + drawn % count
        while math.gcd(step, count) > 1:
            step += 1
        row: Record = rows.row(start + (step * (number % count) + drawn // count) % count)["row"]
        return row

    def _span(self, one: DrawnRow, rows: RowsByNumber) -> tuple[int, int]:
        """The range of a dataset's rows among all stored rows."""
        if one.table not in self._spans:
            at = self._tables.index(one)
            ends = [
                bisect.bisect_left(range(len(rows)), end, key=lambda n: rows.row(n)["table"]) for end in (at, at + 1)
            ]
            self._spans[one.table] = ends[0], ends[1]
        return self._spans[one.table]

    @cached_property
    def _spans(self) -> dict[str, tuple[int, int]]:
        return {}

    @cached_property
    def _tables(self) -> list[DrawnRow]:
        return [table for one in self.draw.values() for table in tables_of(one)]

    def _source(self, one: DrawnRow) -> Any:
        key = f"{one.table}.rows"
        if isinstance(one.rows, Mapping):
            return build(one.rows, key, Source)
        if isinstance(one.rows, str) and one.rows.startswith("synth:"):
            shipped = one.rows.removeprefix("synth:")
            if shipped not in SHIPPED:
                raise ConfigError(f"{key}: Synth does not ship {one.rows!r}{nearest(shipped, SHIPPED)}")
            return Files(path=[str(SHIPPED[shipped])])
        return Files(path=one.rows)

    def _columns_of(self, one: DrawnRow) -> Mapping[str, str]:
        """The columns drawn from a dataset, with their types."""
        beside = [two for two in self.draw.values() if isinstance(two, SameRow) and self.draw[two.row_of] is one]
        return {one.column: one.type} | {two.column: two.type for two in beside}

    def _refuse_unknown(self, name: str, one: Distribution) -> None:
        key = f"source.draw.{name}"
        for other in one.reads:
            if other not in self.draw:
                where = {Cases: "given", SameRow: "row_of", Filled: "template"}.get(type(one), "")
                near = nearest(other, [column for column in self.draw if column != name])
                raise ConfigError(f"{key}.{where}: the grid has no column {other!r}{near}".replace(".:", ":"))
        if isinstance(one, SameRow) and not isinstance(self.draw[one.row_of], DrawnRow):
            raise ConfigError(f"{key}.row_of: {one.row_of!r} is not drawn from rows")
        if isinstance(one, Cases):
            _refuse_other_cases(one, self.draw[one.given].labels, key)
            for case, inner in one.cases.items():
                self._refuse_unknown(f"{name}.cases.{case}", inner)

    @cached_property
    def _order(self) -> list[str]:
        """Each column after those that it reads."""
        return self._needed(self.draw)

    def _needed(self, names: Collection[str]) -> list[str]:
        order: list[str] = []

        def add(name: str, path: list[str]) -> None:
            if name in path:
                way = " → ".join([*path[path.index(name) :], name])
                raise ConfigError(f"source.draw.{name}: depends on itself: {way}")
            if name not in order:
                for other in self.draw[name].reads:
                    add(other, [*path, name])
                order.append(name)

        for name in names:
            add(name, [])
        return order


@contextmanager
def _with_key(one: DrawnRow) -> Iterator[None]:
    """Reading errors with the grid's key that names the file."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(re.sub(r"^source\.\w+:", f"{one.table}.rows:", str(error))) from None


def _refuse_other_cases(one: Cases, labels: list[Any] | None, key: str) -> None:
    """Refuses cases that can't occur, and values without a case."""
    if labels is None:
        if one.otherwise is None:
            raise ConfigError(f"{key}.otherwise: is missing; {one.given!r} may have values without a case")
        return
    for case in one.cases:
        if case not in labels:
            raise ConfigError(f"{key}.cases: {one.given!r} is never {case!r}{nearest(str(case), map(str, labels))}")
    lacking = [label for label in labels if label not in one.cases]
    if lacking and one.otherwise is None:
        raise ConfigError(f"{key}.cases: has none for {one.given} {lacking[0]!r}; add it, or `otherwise`")


def _fitted(row: Any, wanted: Mapping[str, str], source: str, number: int) -> Record | BadRow:
    """The wanted columns of a row."""
    for name, kind in wanted.items():
        value = row.get(name) if isinstance(row, dict) else None
        if value is None:
            there = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
            return BadRow(source, number, f"has no {name!r}, only {there}")
        if isinstance(value, bool) != (kind == "bool"):
            return BadRow(source, number, f"{name!r} is {value!r}, but must be {kind}")
        try:
            pa.scalar(value, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return BadRow(source, number, f"{name!r} is {value!r}, but must be {kind}; set another `type`")
    return {name: row[name] for name in wanted}
