"""Distributions of a grid's columns: categories, conditional cases, ranges, dates, templates, rows of a dataset.

Each is instantiated from its keys in YAML (`distribution_of`), and maps a number `at` of [0, 1) to a value. The grid
derives that number from the run's seed, the record's number and the column's name, so columns are independent unless
one reads another.
"""

import bisect
import datetime
import difflib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import construct
from synth.errors import ConfigError, nearest
from synth.records import Record, Rejection
from synth.template import Template, fill, needed

Scalar = str | int | float | bool
Kind = Literal["string", "int64", "double", "bool"]  # Arrow type of a column
_KIND_OF: dict[type, Kind] = {str: "string", bool: "bool", int: "int64", float: "double"}
_STRICT = ConfigDict(extra="forbid")


def _scalar(value: Any) -> Any:
    if type(value) not in _KIND_OF:
        raise ValueError("must be a text, a number, true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite")
    return value


def _number(value: Any) -> Any:
    """pydantic would accept true as 1 and "2" as 2."""
    if not _is_number(value):
        raise ValueError("must be a number")
    return value


def _day(value: Any) -> Any:
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a day such as 2026-01-31") from None


Any_ = Annotated[Any, AfterValidator(_scalar)]
Number = Annotated[Any, AfterValidator(_number)]
Day = Annotated[datetime.date, BeforeValidator(_day)]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Categories:
    """One of `values`, by relative `weights`, or uniformly. Weights may also be given with the values: {math: 2, code:
    1}."""

    values: Annotated[list[Any_], Field(min_length=1)]
    weights: list[Number] | None = None

    reads: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if len(set(map(repr, self.values))) < len(self.values):
            twice = next(one for at, one in enumerate(self.values) if one in self.values[:at])
            raise ValueError(f"values: has {twice!r} twice")
        if self.weights is None:
            return
        if len(self.weights) != len(self.values):
            raise ValueError(f"weights: {len(self.weights)} for {len(self.values)} values")
        if min(self.weights) < 0:
            raise ValueError(f"weights: must be at least 0, got {min(self.weights)}")
        if not any(self.weights):
            raise ValueError("weights: at least one must be above 0")

    @property
    def kind(self) -> Kind:
        return _common([_KIND_OF[type(value)] for value in self.values])

    @property
    def labels(self) -> list[Scalar] | None:
        """All its values; None if they can't be listed."""
        return [one for one, weight in zip(self.values, self._weights, strict=True) if weight]

    @property
    def _weights(self) -> Sequence[float]:
        return self.weights or [1] * len(self.values)

    def value(self, at: float, record: Record) -> Any:
        sums = list(itertools.accumulate(self._weights))
        place = bisect.bisect_right(sums, at * sums[-1])
        return self.values[min(place, max(i for i, weight in enumerate(self._weights) if weight))]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Cases:
    """The distribution for the value of column `given`, or `otherwise`. Also for conditional weights."""

    given: str
    cases: dict[Any, Any]
    otherwise: Any = None

    @property
    def distributions(self) -> list[Any]:
        return [*self.cases.values(), *([] if self.otherwise is None else [self.otherwise])]

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys([self.given, *(name for distribution in self.distributions for name in distribution.reads)])
        )

    @property
    def kind(self) -> Kind:
        return _common([distribution.kind for distribution in self.distributions])

    @property
    def labels(self) -> list[Scalar] | None:
        found: list[Scalar] = []
        for distribution in self.distributions:
            if distribution.labels is None:
                return None
            found += [label for label in distribution.labels if label not in found]
        return found

    def case(self, record: Record) -> Any:
        """The distribution for a record."""
        case = self.cases.get(record[self.given], self.otherwise)
        if case is None:
            raise Rejection("missing_case", f"there is no case for {self.given} {record[self.given]!r}")
        return case


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Range:
    """From `min` to `max`, inclusive: whole numbers if both are, else fractions, in steps of `step` if given."""

    min: Number
    max: Number
    step: Number | None = None

    reads: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.max < self.min:
            raise ValueError(f"max: must be at least min={self.min}, got {self.max}")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step: must be above 0, got {self.step}")

    @property
    def kind(self) -> Kind:
        given = [one for one in (self.min, self.max, self.step) if one is not None]
        return "int64" if all(isinstance(number, int) for number in given) else "double"

    @property
    def labels(self) -> list[Scalar] | None:
        count = self._count
        return None if count is None or count > 1000 else [self._at(place) for place in range(count)]

    @property
    def _count(self) -> int | None:
        step = self.step or (1 if self.kind == "int64" else None)
        return None if step is None else math.floor((self.max - self.min) / step + 1e-9) + 1

    def _at(self, place: int) -> Any:
        step = self.step or 1
        return self.min + place * step if self.kind == "int64" else round(self.min + place * step, 9)

    def value(self, at: float, record: Record) -> Any:
        count = self._count
        return self.min + at * (self.max - self.min) if count is None else self._at(min(int(at * count), count - 1))


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Dates:
    """A day from `first` to `last`, inclusive, formatted by `format` (strftime)."""

    first: Day
    last: Day
    format: Annotated[str, Field(min_length=1)] = "%Y-%m-%d"

    kind: ClassVar[Kind] = "string"
    labels: ClassVar[None] = None
    reads: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"last: must not be before first={self.first}, got {self.last}")

    def value(self, at: float, record: Record) -> Any:
        days = (self.last - self.first).days + 1
        return (self.first + datetime.timedelta(min(int(at * days), days - 1))).strftime(self.format)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Filled:
    """A template over other columns of the grid."""

    template: Template

    kind: ClassVar[Kind] = "string"
    labels: ClassVar[None] = None

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(sorted(needed(self.template)))

    def value(self, at: float, record: Record) -> Any:
        return fill(self.template, record)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class DrawnRow:
    """A row of a dataset; the value is its `column`. All rows are used once before any repeats. `rows` are files, as
    for `source.path`, `synth:personas`, or a source with its _target_. `table` is the key of these rows."""

    rows: Any
    column: str
    type: Kind = "string"
    table: str = field(default="", kw_only=True)

    labels: ClassVar[None] = None
    reads: ClassVar[tuple[str, ...]] = ()

    @property
    def kind(self) -> Kind:
        return self.type


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class SameRow:
    """Another `column` of the row that the grid's column `row_of` is drawn from."""

    row_of: str
    column: str
    type: Kind = "string"

    labels: ClassVar[None] = None

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.row_of,)

    @property
    def kind(self) -> Kind:
        return self.type


Distribution = Categories | Cases | Range | Dates | Filled | DrawnRow | SameRow

# The key that identifies a mapping's distribution.
_BY_KEY: dict[str, type] = {
    "values": Categories,
    "cases": Cases,
    "min": Range,
    "max": Range,
    "first": Dates,
    "last": Dates,
    "template": Filled,
    "rows": DrawnRow,
    "row_of": SameRow,
}
_KEYS = {*_BY_KEY, "weights", "given", "otherwise", "step", "format", "column", "type"}


def distribution_of(node: Any, key: str, column: str) -> Distribution:
    """From its keys, a list of values, {value: weight}, or a single value. Raises ConfigError with the key."""
    if isinstance(node, list):
        node = {"values": node}
    if not isinstance(node, Mapping):
        node = {"values": [node]}
    kind = next((made for name, made in _BY_KEY.items() if name in node), None)
    if kind is None:
        return _weighted(node, key)
    given = dict(node)
    if kind is Categories and isinstance(given["values"], Mapping):
        if "weights" in given:
            raise ConfigError(f"{key}.weights: the values have weights already; leave one of both out")
        _refuse_no_weights(given["values"], f"{key}.values")
        given |= {"values": list(given["values"]), "weights": list(given["values"].values())}
    if kind is Cases:
        if not isinstance(given["cases"], Mapping) or not given["cases"]:
            raise ConfigError(f"{key}.cases: must be a mapping by the values of {given.get('given', 'a column')}")
        cases = {case: distribution_of(one, f"{key}.cases.{case}", column) for case, one in given["cases"].items()}
        given["cases"] = cases
        if given.get("otherwise") is not None:
            given["otherwise"] = distribution_of(given["otherwise"], f"{key}.otherwise", column)
    if kind in (DrawnRow, SameRow):
        given.setdefault("column", column)
    if kind is DrawnRow:
        if "table" in given:
            raise ConfigError(f"{key}.table: no such key{nearest('table', ['rows', 'column', 'type'])}")
        given["table"] = key
    made: Distribution = construct(kind, given, key)
    try:
        _ = made.kind
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None
    return made


def case_of(distribution: Distribution, record: Record) -> Any:
    """The distribution of a record's value, after resolving Cases."""
    while isinstance(distribution, Cases):
        distribution = distribution.case(record)
    return distribution


def tables_of(distribution: Distribution) -> Iterator[DrawnRow]:
    """The datasets that it draws rows from."""
    if isinstance(distribution, DrawnRow):
        yield distribution
    elif isinstance(distribution, Cases):
        for one in distribution.distributions:
            yield from tables_of(one)


def _weighted(node: Mapping[Any, Any], key: str) -> Categories:
    """{value: weight}, unless its keys look like those of another distribution."""
    if not node:
        raise ConfigError(f"{key}: is empty; give values, or one of {', '.join(sorted(_BY_KEY))}")
    if not all(_is_number(one) for one in node.values()):
        for name in node:
            if difflib.get_close_matches(str(name), _KEYS, n=1, cutoff=0.75):
                raise ConfigError(f"{key}.{name}: no distribution has this key{nearest(str(name), _KEYS)}")
    _refuse_no_weights(node, key)
    made: Categories = construct(Categories, {"values": list(node), "weights": list(node.values())}, key)
    return made


def _refuse_no_weights(node: Mapping[Any, Any], key: str) -> None:
    for name, weight in node.items():
        if not _is_number(weight):
            keys = ", ".join(sorted(_BY_KEY))
            raise ConfigError(f"{key}.{name}: a weight must be a number, got {weight!r}; distributions have {keys}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _common(kinds: Sequence[Kind]) -> Kind:
    if len(found := set(kinds)) == 1:
        return kinds[0]
    if found == {"int64", "double"}:
        return "double"
    raise ValueError(f"its values are of several types: {', '.join(sorted(found))}")
