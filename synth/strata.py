"""Strata: exact numbers of kept rows for each value of some columns.

The rule: rows are processed in the order of their ids. A row is accepted if each of its strata has capacity, else it is
rejected as `stratum_full`. All values of a column without a number of their own form one stratum, whose capacity is the
rest of num_records. So the accepted rows depend on the rows only, and are num_records in the end.

Bookkeeping only: no steps, shards or workers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.errors import ConfigError
from synth.records import Record

OTHERS = "(others)"
FULL = "stratum_full"  # the rejection reason
SKIP, STRATA = "skip_full", "strata"  # the names of the two steps
Labels = Sequence[str | None]  # of each column in order; None if a record has none yet


@dataclass(frozen=True)
class Strata:
    """Rows by column and label, including OTHERS: those of a column add up to num_records."""

    rows: Mapping[str, Mapping[str, int]]

    @classmethod
    def parse(cls, given: Any, num_records: int | str) -> "Strata":
        """{column: {value: rows, or a share of num_records}}. Raises ConfigError."""
        if not isinstance(given, Mapping) or not given:
            raise ConfigError(f"strata: must be like {{category: {{math: 2000, code: 0.3}}}}, got {given!r}")
        if not isinstance(num_records, int):
            raise ConfigError("strata: need a number of rows, and num_records=all has none; set a number")
        return cls({str(column): _counted(column, wanted, num_records) for column, wanted in given.items()})

    def labels(self, record: Record, known: Sequence[str] | None = None) -> Labels:
        """A record's labels. With `known`, only those of these columns."""
        return [
            None if known is not None and column not in known else self.label(column, record.get(column))
            for column in self.rows
        ]

    def label(self, column: str, value: Any) -> str:
        return str(value) if str(value) in self.rows[column] else OTHERS


class Remaining:
    """The capacity left in each stratum."""

    def __init__(self, strata: Strata):
        self._left = [dict(rows) for rows in strata.rows.values()]

    def has(self, labels: Labels) -> bool:
        """Whether none of these is full."""
        return all(label is None or left[label] > 0 for left, label in zip(self._left, labels, strict=True))

    def take(self, labels: Labels) -> bool:
        """Accept a row with these labels, if there is capacity."""
        if not self.has(labels):
            return False
        for left, label in zip(self._left, labels, strict=True):
            if label is not None:
                left[label] -= 1
        return True

    def copy(self) -> "Remaining":
        other = object.__new__(Remaining)
        other._left = [dict(left) for left in self._left]
        return other

    def left(self, label: str) -> int:
        """Of the first column's label."""
        return self._left[0][label]


def as_key(labels: Labels) -> bytes:
    return json.dumps(labels, ensure_ascii=False).encode("utf-8", "surrogatepass")


def from_key(key: bytes) -> Labels:
    labels: list[str | None] = json.loads(key.decode("utf-8", "surrogatepass"))
    return labels


def _counted(column: Any, wanted: Any, num_records: int) -> dict[str, int]:
    if not isinstance(wanted, Mapping) or not wanted:
        raise ConfigError(f"strata.{column}: must be like {{math: 2000, code: 0.3}}, got {wanted!r}")
    rows = {str(label): _rows(f"strata.{column}.{label}", given, num_records) for label, given in wanted.items()}
    if OTHERS in rows:
        raise ConfigError(f"strata.{column}.{OTHERS}: is the rest of num_records; leave it out")
    if (total := sum(rows.values())) > num_records:
        raise ConfigError(f"strata.{column}: {total:,} rows are more than num_records={num_records:,}")
    return rows | {OTHERS: num_records - total}


def _rows(key: str, given: Any, num_records: int) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    if isinstance(given, float) and 0 <= given <= 1:
        return round(given * num_records)
    raise ConfigError(f"{key}: must be a number of rows, or a share of num_records such as 0.3, got {given!r}")
