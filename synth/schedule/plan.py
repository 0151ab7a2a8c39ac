"""Which records are to be made, in which shards, and when there are enough of them.

Records are numbered from 0 and so are shards. Shards are leased lowest first; when fewer records are kept than
were planned for, the plan grows by as many as the yield so far says are missing. The run is finished when the
shards committed without a gap from the first one hold `num_records` kept records: the dataset is their first
`num_records`, which depends on nothing but the records themselves. So neither the number of workers nor their
timing, nor where a shard happens to end, can change it.

Plain bookkeeping: knows nothing of workers, files or time.
"""

import heapq
import math
from collections.abc import Callable, Iterable

from synth.records import Shard


class Plan:
    """`num_records` None asks for all that the source has. `source_size` bounds the record numbers, None if there are
    always more. `min_yield` is kept records per record: below it the run is hopeless. `on_growth` is called when
    there are new shards, before any is leased."""

    _ENOUGH_TO_JUDGE = 200  # finished records, before a run may be called hopeless
    _PRIOR = 5  # kept records, each of one record, that a yield starts from: a few rejections are not a low yield yet

    def __init__(
        self,
        num_records: int | None,
        *,
        shard_size: int,
        replicas: int,
        min_yield: float,
        source_size: int | None = None,
        known: Iterable[Shard] = (),
        on_growth: Callable[[], None] = lambda: None,
    ):
        self._num_records = math.inf if num_records is None else num_records
        self._source_size = math.inf if source_size is None else source_size
        # Several shards for each replica, so that none waits for the others at the end.
        most = min(self._num_records, self._source_size)
        self._shard_size = max(1, min(shard_size, math.ceil(most / (4 * replicas))))
        self._min_yield = min_yield
        self._on_growth = on_growth
        self.shards: list[Shard] = list(known)
        self._waiting = list(range(len(self.shards)))
        self._kept: dict[int, int] = {}
        self._prefix = 0  # shards committed without a gap from the first one
        self._prefix_kept = 0
        self._total_kept = 0
        self._finished_records = 0
        self._leased: dict[int, Shard] = {}
        self._in_flight = 0  # records leased
        self._frontier = 0  # no shard from here on was ever leased

    @property
    def kept(self) -> int:
        """Kept records in committed shards."""
        return self._total_kept

    @property
    def done(self) -> bool:
        return self._prefix_kept >= self._num_records or (self._num_records == math.inf and self.exhausted)

    @property
    def yield_so_far(self) -> float:
        """Kept records per record, as far as can be told; 1 at first. More than 1 where records fan out."""
        return (self._total_kept + self._PRIOR) / (self._finished_records + self._PRIOR)

    @property
    def hopeless(self) -> bool:
        least = self._min_yield * self._finished_records
        judged = self._finished_records >= self._ENOUGH_TO_JUDGE and self._num_records < math.inf
        return judged and self._total_kept < least

    @property
    def exhausted(self) -> bool:
        """The source has no more records, and all it had are finished."""
        return self._end >= self._source_size and not self._waiting and not self._leased

    @property
    def unfinished(self) -> int:
        """Records still to be made, as far as the yield so far tells."""
        missing = max(0.0, self._num_records - self._expected_before(len(self.shards)))
        return self._in_flight + self._records_for(missing)

    def next(self) -> Shard | None:
        """The shard that `lease` would give."""
        if self.done or self.hopeless:
            return None
        if not self._waiting:
            self._grow()
        if not self._waiting or self._expected_before(self._waiting[0]) >= self._num_records:
            return None
        return self.shards[self._waiting[0]]

    @property
    def returned(self) -> bool:
        """The next shard was leased before, or stands below one that was: it is the one that others may wait for."""
        shard = self.next()
        return shard is not None and shard.index < self._frontier

    def lease(self) -> Shard | None:
        """The lowest shard that nobody has, or None while what is out is expected to be enough."""
        shard = self.next()
        if shard is not None:
            heapq.heappop(self._waiting)
            self._leased[shard.index] = shard
            self._in_flight += len(shard)
            self._frontier = max(self._frontier, shard.index + 1)
        return shard

    def release(self, shard: Shard) -> None:
        """Whoever had it is done with it. If it isn't committed, it is the next to be leased."""
        if self._leased.pop(shard.index, None):
            self._in_flight -= len(shard)
            heapq.heappush(self._waiting, shard.index)

    def commit(self, index: int, kept: int) -> None:
        """A shard is on disk, with so many kept records in it."""
        if index in self._kept:
            return
        if self._leased.pop(index, None):
            self._in_flight -= len(self.shards[index])
        elif index in self._waiting:
            self._waiting.remove(index)
            heapq.heapify(self._waiting)
        self._frontier = max(self._frontier, index + 1)
        self._kept[index] = kept
        self._total_kept += kept
        self._finished_records += len(self.shards[index])
        while self._prefix in self._kept:
            self._prefix_kept += self._kept[self._prefix]
            self._prefix += 1

    @property
    def _end(self) -> int:
        return self.shards[-1].stop if self.shards else 0

    def _expected_before(self, index: int) -> float:
        """Kept records that the shards below `index` hold or, where a worker still has them, are expected to."""
        kept, leased = self._total_kept, self._in_flight
        if index < self._frontier:  # a shard that was released: shards above it are out or done already
            kept = sum(count for one, count in self._kept.items() if one < index)
            leased = sum(len(shard) for one, shard in self._leased.items() if one < index)
        return kept + leased * self.yield_so_far

    def _records_for(self, missing: float) -> int:
        """Records, beside those in flight, that will give so many kept ones: as many as the source has at the most."""
        left = self._source_size - self._finished_records - self._in_flight
        return math.ceil(min(missing / max(self.yield_so_far, self._min_yield), left))

    def _grow(self) -> None:
        missing = self._num_records - self._expected_before(len(self.shards))
        stop = self._end + self._records_for(missing)
        before = self._end
        while self._end < stop:
            start = self._end
            shard = Shard(len(self.shards), start, min(start + self._shard_size, stop))
            self.shards.append(shard)
            heapq.heappush(self._waiting, shard.index)
        if self._end > before:
            self._on_growth()
