"""Which records a run still needs, by what of them is finished: what is not needed is not begun, or given up.

A record matters as long as those below it may leave a row to be had. Rows of finished records are sure, wherever gaps
are below them: what fills a gap only adds to them. Of a record that is not finished, a row is as likely as the yield
says; a sum of such chances is taken at its mean less `MARGIN` standard deviations, so that a run rarely comes to its
end with too few and has to wait for one more record.

Where records make claims, a finished row may still turn out to be a duplicate of a lower one: so many are set off as
did before, and `LATE_MARGIN` standard deviations. That is a guess; should it be wrong, more records are made. Both
margins are a trade of records that are made in vain for runs that wait at their end (benchmarks/last_records.py).

Plain numbers: knows nothing of shards, workers or time.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

MARGIN = 0.25
LATE_MARGIN = 1.0
# A duplicate among so many rows is taken for granted, until more is known.
_ROWS_TO_A_DUPLICATE = 50


@dataclass(frozen=True)
class Needed:
    """Records from `launch` on are not begun for now, those from `cut` on are given up."""

    launch: float = math.inf
    cut: float = math.inf


class Counts(NamedTuple):
    """Of records up to some number: `finalized` rows, rows of records that are `finished` and not finalized, and the
    records that are `unfinished`."""

    finalized: int = 0
    finished: int = 0
    unfinished: int = 0

    def and_then(self, more: "Counts") -> "Counts":
        return Counts(*map(sum, zip(self, more, strict=True)))


@dataclass
class Chances:
    """`rate` is the yield: kept rows of a record, more than 1 where records fan out. `late` rows of the `finalized`
    ones were duplicates after all; None where a finished row is final."""

    rate: float
    late: int | None = None
    finalized: int = 0

    @property
    def _variance(self) -> float:
        """Of one record's rows. What fans out is as likely one way as the other."""
        return self.rate * max(0.0, 1 - self.rate)

    def rows(self, unfinished: float) -> float:
        """That so many unfinished records give, at the least."""
        return max(0.0, self.rate * unfinished - MARGIN * math.sqrt(self._variance * unfinished))

    def records(self, rows: float) -> float:
        """Unfinished records that give so many rows, at the least: the inverse of `rows`."""
        if rows <= 0:
            return 0.0
        if self.rate <= 0:
            return math.inf
        spread = MARGIN * math.sqrt(self._variance)
        return float(((spread + math.sqrt(spread**2 + 4 * self.rate * rows)) / (2 * self.rate)) ** 2)

    def sure(self, counts: Counts) -> float:
        """The rows of finished records, without those that may not stay."""
        if self.late is None:
            return counts.finalized + counts.finished
        duplicates = counts.finished * (self.late + 1) / (self.finalized + _ROWS_TO_A_DUPLICATE)
        return counts.finalized + max(0.0, counts.finished - duplicates - LATE_MARGIN * math.sqrt(duplicates))

    def expected(self, counts: Counts) -> float:
        return self.sure(counts) + self.rows(counts.unfinished)
