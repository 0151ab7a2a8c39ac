"""Computes which records a run still needs: records beyond that are not begun, or are cancelled.

A record is needed as long as the records below it may not give enough rows. Rows of finished records are certain, even
with gaps below them, because records in a gap only add rows. An unfinished record is kept with the probability of the
yield. The rows of all unfinished records are estimated as their mean less `MARGIN` standard deviations, so that a run
rarely ends with too few rows and has to wait for one more record.

With dedup keys a finished row may still become a duplicate of a lower one. The share of such rows so far is subtracted,
and `LATE_MARGIN` standard deviations. If that estimate is too low, more records are run. Both margins trade wasted
records for waiting at the end of a run (benchmarks/last_records.py).

Numbers only: no shards, workers or clock.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

MARGIN = 0.25
LATE_MARGIN = 1.0
# Prior: one duplicate among so many rows, until more is known.
_ROWS_TO_A_DUPLICATE = 50


@dataclass(frozen=True)
class Needed:
    """Records from `launch` on are not begun for now; records from `cut` on are cancelled."""

    launch: float = math.inf
    cut: float = math.inf


class Counts(NamedTuple):
    """Counts over the records up to some number: `finalized` rows, rows of `finished` records that are not finalized,
    and `unfinished` records."""

    finalized: int = 0
    finished: int = 0
    unfinished: int = 0

    def and_then(self, more: "Counts") -> "Counts":
        return Counts(*map(sum, zip(self, more, strict=True)))


@dataclass
class Chances:
    """`rate` is the yield: kept rows per record, more than 1 with fan-out; `unfinished` is that of unfinished records,
    which is higher if rejected records end sooner. `late` is how many of the `finalized` rows turned out to be
    duplicates; None if finished rows are final."""

    rate: float
    unfinished: float
    late: int | None = None
    finalized: int = 0

    def rows(self, unfinished: float) -> float:
        """Lower bound of the rows from so many unfinished records."""
        return max(0.0, self.unfinished * unfinished - MARGIN * math.sqrt(_variance(self.unfinished) * unfinished))

    def records(self, rows: float) -> float:
        """Further records needed for at least so many rows."""
        if rows <= 0:
            return 0.0
        if self.rate <= 0:
            return math.inf
        spread = MARGIN * math.sqrt(_variance(self.rate))
        return float(((spread + math.sqrt(spread**2 + 4 * self.rate * rows)) / (2 * self.rate)) ** 2)

    def sure(self, counts: Counts) -> float:
        """Rows of finished records, less the expected duplicates among them."""
        if self.late is None:
            return counts.finalized + counts.finished
        duplicates = counts.finished * (self.late + 1) / (self.finalized + _ROWS_TO_A_DUPLICATE)
        return counts.finalized + max(0.0, counts.finished - duplicates - LATE_MARGIN * math.sqrt(duplicates))

    def expected(self, counts: Counts) -> float:
        return self.sure(counts) + self.rows(counts.unfinished)


def _variance(rate: float) -> float:
    """The variance of the rows of one record. With fan-out, all rows of a record are kept or none."""
    return rate * max(0.0, 1 - rate)
