"""Which records are to be made, in which shards, and when there are enough of them.

Records are numbered from 0 and so are shards. Shards are leased lowest first; when fewer records are kept than
were planned for, the plan grows by as many as the yield so far says are missing. The run is finished when the
shards committed without a gap from the first one hold `num_records` kept records: the dataset is their first
`num_records`, which depends on nothing but the records themselves. So neither the number of workers nor their
timing, nor where a shard happens to end, can change it.

A slice of a run has every so-manyth shard, and all have one size: no plan has to know of the others.

Plain bookkeeping: knows nothing of workers, files or time.
"""

import heapq
import math
from collections.abc import Callable, Iterable

from synth.records import Shard, Slice


class Plan:
    """`num_records` None asks for all that the source has. `source_size` bounds the record numbers, None if there are
    always more. `min_yield` is kept records per record: below it the run is hopeless. `on_growth` is called when
    there are new shards, before any is leased.

    Where the strategy does not tell how many records it makes of one (`tells_fan_out`), the first shards are of one
    record and each further growth doubles what is planned: what is seen by then decides how large the next ones are.

    Shards in `again`, by their index, are there already and leased once more, whether or not they are needed.

    With a `slice`, `num_records` are those that it is to keep, and shards have `shard_size` records, but for the
    source's last."""

    _ENOUGH_TO_JUDGE = 200  # finished records, before a run may be called hopeless
    _SMALL = 16  # records: smaller shards at the end of a run cost more files than they save time
    _PRIOR = 5  # kept records, each of one record, that a yield starts from: a few rejections are not a low yield yet

    def __init__(
        self,
        num_records: int | None,
        *,
        shard_size: int,
        replicas: int,
        min_yield: float,
        source_size: int | None = None,
        slice: Slice | None = None,
        known: Iterable[Shard] = (),
        tells_fan_out: bool = True,
        again: Iterable[int] = (),
        on_growth: Callable[[], None] = lambda: None,
    ):
        self._num_records = math.inf if num_records is None else num_records
        self._source_size = math.inf if source_size is None else source_size
        self._slice = slice or Slice(0, 1)
        self._equal_shards = slice is not None
        self._all_at_once = tells_fan_out or self._equal_shards
        self._most: float = self._source_size  # records there are
        if slice is None:
            # Several shards for each replica, so that none waits for the others at the end.
            most = min(self._num_records, self._source_size)
            shard_size = max(1, min(shard_size, math.ceil(most / (4 * replicas))))
        elif source_size is not None:
            self._most = slice.count(source_size, shard_size)
        self._largest = shard_size
        self._smallest = min(shard_size, max(self._SMALL, shard_size // 16)) if replicas > 1 else shard_size
        self._replicas = replicas
        self._min_yield = min_yield
        self._on_growth = on_growth
        self.shards: list[Shard] = list(known)
        self._waiting = list(range(len(self.shards)))  # places in the list, as all below
        self._again = {self._place(index) for index in again}  # and not committed since
        self._kept: dict[int, int] = {}
        self._prefix = 0  # shards committed without a gap from the first one
        self._prefix_kept = 0
        self._total_kept = 0
        self._finished_records = 0
        self._leased: dict[int, Shard] = {}
        self._in_flight = 0  # records leased
        self._frontier = 0  # no shard from here on was ever leased
        self._next: Shard | None = None
        self._changed = True  # since `next` was looked for: a thousand idle replicas ask for it at every change

    @property
    def kept(self) -> int:
        """Kept records in committed shards."""
        return self._total_kept

    @property
    def done(self) -> bool:
        return not self._again and self._has_enough

    @property
    def _has_enough(self) -> bool:
        return self._prefix_kept >= self._num_records or (self._num_records == math.inf and self.exhausted)

    @property
    def yield_so_far(self) -> float:
        """Kept records per record, as far as can be told; 1 at first. More than 1 where records fan out."""
        return (self._total_kept + self._PRIOR) / (self._finished_records + self._PRIOR)

    @property
    def hopeless(self) -> bool:
        least = self._min_yield * self._finished_records
        judged = self._finished_records >= self._ENOUGH_TO_JUDGE and self._num_records < math.inf
        return judged and self._total_kept < least and not self._again

    @property
    def exhausted(self) -> bool:
        """The source has no more records, and all it had are finished."""
        return self._start >= self._source_size and not self._waiting and not self._leased

    @property
    def unfinished(self) -> int:
        """Records still to be made, as far as the yield so far tells."""
        missing = max(0.0, self._num_records - self._expected_before(len(self.shards)))
        return self._in_flight + self._records_for(missing)

    @property
    def in_flight(self) -> int:
        """Records of leased shards."""
        return self._in_flight

    @property
    def unleased(self) -> float:
        """Records that there may still be beside those: without end where the source has none."""
        return max(0.0, self._most - self._finished_records - self._in_flight)

    @property
    def missing(self) -> float | None:
        """Kept records that committed shards lack; None where all records are to be made."""
        return None if self._num_records == math.inf else max(0.0, self._num_records - self._total_kept)

    def next(self) -> Shard | None:
        """The shard that `lease` would give."""
        if self._changed:
            self._next, self._changed = self._find_next(), False
        return self._next

    def _find_next(self) -> Shard | None:
        if self.done or self.hopeless:
            return None
        if not self._waiting and not self._has_enough:
            self._grow()
        if self._waiting and self._expected_before(self._waiting[0]) < self._num_records:
            return self.shards[self._waiting[0]]
        return next((self.shards[place] for place in sorted(self._again.intersection(self._waiting))), None)

    @property
    def returned(self) -> bool:
        """The next shard was leased before, or stands below one that was: it is the one that others may wait for."""
        shard = self.next()
        return shard is not None and self._place(shard.index) < self._frontier

    def lease(self) -> Shard | None:
        """The lowest shard that nobody has, or None while what is out is expected to be enough."""
        shard = self.next()
        if shard is not None:
            self._changed = True
            place = self._place(shard.index)
            if place == self._waiting[0]:
                heapq.heappop(self._waiting)
            else:
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
            self._leased[place] = shard
            self._in_flight += len(shard)
            self._frontier = max(self._frontier, place + 1)
        return shard

    def release(self, shard: Shard) -> None:
        """Whoever had it is done with it. If it isn't committed, it is the next to be leased."""
        self._changed = True
        place = self._place(shard.index)
        if self._leased.pop(place, None):
            self._in_flight -= len(shard)
            heapq.heappush(self._waiting, place)

    def commit(self, index: int, kept: int) -> None:
        """A shard is on disk, with so many kept records in it."""
        place = self._place(index)
        if place in self._kept:
            return
        self._changed = True
        self._again.discard(place)
        if self._leased.pop(place, None):
            self._in_flight -= len(self.shards[place])
        elif place in self._waiting:
            self._waiting.remove(place)
            heapq.heapify(self._waiting)
        self._frontier = max(self._frontier, place + 1)
        self._kept[place] = kept
        self._total_kept += kept
        self._finished_records += len(self.shards[place])
        while self._prefix in self._kept:
            self._prefix_kept += self._kept[self._prefix]
            self._prefix += 1

    def _place(self, index: int) -> int:
        return index // self._slice.of

    @property
    def _index(self) -> int:
        """The next new shard's."""
        return self._slice.number + len(self.shards) * self._slice.of

    @property
    def _start(self) -> int:
        """The next new shard's first record."""
        if self._equal_shards:
            return self._index * self._largest
        return self.shards[-1].stop if self.shards else 0

    def _expected_before(self, place: int) -> float:
        """Kept records that the shards below `place` hold or, where a worker still has them, are expected to."""
        kept, leased = self._total_kept, self._in_flight
        if place < self._frontier:  # a shard that was released: shards above it are out or done already
            kept = self._prefix_kept + sum(self._kept.get(one, 0) for one in range(self._prefix, place))
            leased = sum(len(shard) for one, shard in self._leased.items() if one < place)
        return kept + leased * self.yield_so_far

    def _records_for(self, missing: float) -> int:
        """Records, beside those in flight, that will give so many kept ones: as many as the source has at the most."""
        return math.ceil(min(missing / max(self.yield_so_far, self._min_yield), self.unleased))

    def _grow(self) -> None:
        records = self._records_for(self._num_records - self._expected_before(len(self.shards)))
        before = len(self.shards)
        ahead = math.inf if self._all_at_once else max(1, self._start)
        while records > 0 and ahead > 0:
            size = self._largest if self._equal_shards else min(self._size(records), records, ahead)
            ahead -= size
            shard = Shard(self._index, self._start, int(min(self._start + size, self._source_size)))
            heapq.heappush(self._waiting, len(self.shards))
            self.shards.append(shard)
            records -= len(shard)
        if len(self.shards) > before:
            self._on_growth()

    def _size(self, records: int) -> int:
        """Of the next shard, while so many records are still to be planned: the last ones are small, so that all
        replicas end together (guided self-scheduling, Polychronopoulos and Kuck 1987; benchmarks/last_shards.py)."""
        largest = max(1, math.ceil(self._largest / max(1.0, self.yield_so_far)))
        return min(largest, max(self._smallest, math.ceil(records / (2 * self._replicas))))
