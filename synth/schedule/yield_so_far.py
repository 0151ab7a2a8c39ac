"""Estimates a run's yield, its kept rows per record, while many of its records are unfinished.

The yield of finished records alone is too low at first, because rejected records end sooner than kept ones. The records
that are still running tend to be those with many tokens.

Numbers only: no shards, workers or clock.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from synth.schedule.needed import Chances, Counts
from synth.schedule.recent import Recent


class Totals(NamedTuple):
    """Finished records and their kept rows."""

    kept: int
    records: int


class Yield:
    """A `stratified` run uses the recent yield, see Plan. `final`: rows of finished records can't become duplicates."""

    _FIRST_BOUND = 32  # records of the smallest bound of the yield
    _FEW_UNFINISHED = 0.02  # of the finished records: fewer than that can't change the yield
    _PRIOR = 5  # kept records, one per record: the yield's prior, so that a few rejections are not a low yield

    def __init__(self, stratified: bool, final: bool):
        self.recent = Recent() if stratified else None
        self._tokens = self._tokens_times_rows = 0.0  # of finished records
        self._late = None if final else 0  # finished rows that became duplicates
        self._finalized = 0  # rows that can't become duplicates any more

    def add_finished(self, tokens: float, kept: int) -> None:
        """A record is finished with `kept` rows, for which `tokens` were generated."""
        self._tokens += tokens
        self._tokens_times_rows += tokens * kept

    def add_finalized(self, finished: int, kept: int) -> None:
        """Note that `kept` of a shard's `finished` rows are no duplicates."""
        if self._late is not None:
            self._late += max(0, finished - kept)
            self._finalized += max(kept, finished)

    def rate(self, committed: Totals, leased: Totals, unfinished: int, shards: Iterable[tuple[Counts, int]]) -> float:
        """Kept rows per record; starts at 1, and is more than 1 with fan-out.

        `unfinished` records are leased. `shards` has the counts and the size of each shard that was ever leased.
        """
        over = committed if self.recent is None else Totals(self.recent.kept, self.recent.records)
        so_far = self._with_prior(over.kept + leased.kept, over.records + leased.records)
        if self.recent or unfinished <= self._FEW_UNFINISHED * committed.records:
            return so_far
        return max(so_far, self._least_if_the_rest_is_kept(so_far, shards))

    def chances(self, rate: float, records: int) -> Chances:
        """The chances of unfinished records. `rate` is the yield of the `records` that are finished."""
        return Chances(rate, self._of_unfinished(rate, records), self._late, self._finalized)

    def _least_if_the_rest_is_kept(self, so_far: float, shards: Iterable[tuple[Counts, int]]) -> float:
        """An upper bound of the yield, which counts unfinished records as kept. It is the least of the bounds over the
        lowest 32, 64, 128... records, since hardly any of the low records are unfinished."""
        rows, records, least, enough = 0.0, 0, math.inf, self._FIRST_BOUND
        each = max(1.0, so_far)
        for counts, size in shards:
            rows += counts.finalized + counts.finished + each * counts.unfinished
            records += size
            if records >= enough:
                least, enough = min(least, self._with_prior(rows, records)), 2 * records
        return min(least, self._with_prior(rows, records), each)

    def _with_prior(self, rows: float, records: int) -> float:
        return (rows + self._PRIOR) / (records + self._PRIOR)

    def _of_unfinished(self, rate: float, records: int) -> float:
        """The yield weighted by tokens, since running records tend to be those with many tokens: if rejected records
        end sooner, more of the unfinished ones will be kept."""
        if self.recent or not self._tokens:
            return rate
        prior = self._PRIOR * self._tokens / max(1, records)
        return max(rate, (self._tokens_times_rows + rate * prior) / (self._tokens + prior))
