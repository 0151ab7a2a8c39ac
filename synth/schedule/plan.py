"""The plan: which records are to be run, in which shards, and when there are enough.

Records are numbered from 0, and so are shards. Shards are leased lowest first. If fewer records are kept than planned,
the plan grows by the number that is missing according to the yield so far. A finished record counts at once, long
before its shard is committed (`observe`), and `needed` says which records have to be run at all. The run is finished
when the shards committed without a gap from the first one hold `num_records` kept records. The dataset is the first
`num_records` of them, which depends on the records only: not on the number of workers, their timing, or where a shard
ends.

The last of these shards may be committed short: up to some record, above which none was needed. It is complete for this
run; a run for more records continues it.

A slice of a run has every n-th shard, and all shards have the same size. So a slice does not depend on the plans of the
others.

Bookkeeping only: no workers, files or clock.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable

from synth.records import Shard, Slice
from synth.schedule.ends import End, Ends
from synth.schedule.needed import Chances, Counts, Needed
from synth.schedule.shard_sizes import ShardSizes
from synth.schedule.yield_so_far import Totals, Yield


class Plan:
    """`num_records` None asks for all records of the source. `source_size` bounds the record numbers; None if there is
    no end. `min_yield` is kept records per record: below it the run is hopeless. `on_growth` is called when there are
    new shards, before any of them is leased.

    If the strategy does not declare the outputs per record (`declares_num_outputs`), the first shards have one record
    and each growth doubles the plan: later shard sizes follow from the yield by then.

    Shards in `again`, by index, exist already and are leased once more, needed or not.

    In a `stratified` run the recent yield counts: records for strata that are still short differ from the first ones,
    and a record that is skipped because its stratum is full costs nothing.

    `final` says that a finished record's rows stay; otherwise they may become duplicates of lower records.

    With a `slice`, `num_records` is the number it has to keep, and all shards have `shard_size` records, except the
    source's last one. Otherwise they have more if more than `most_shards` would have to be planned at once."""

    _ENOUGH_TO_JUDGE = 200  # finished records before a run may be called hopeless

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
        declares_num_outputs: bool = True,
        again: Iterable[int] = (),
        on_growth: Callable[[], None] = lambda: None,
        final: bool = True,
        most_shards: float = math.inf,
        stratified: bool = False,
    ):
        self._num_records = math.inf if num_records is None else num_records
        size = math.inf if source_size is None else source_size
        self._sizes = ShardSizes(
            self._num_records, size, shard_size, replicas, slice, most_shards, declares_num_outputs
        )
        self._min_yield = min_yield
        self._on_growth = on_growth
        self.shards: list[Shard] = list(known)
        self._waiting = list(range(len(self.shards)))  # positions in the list, like all places below
        self._again = {self._sizes.place(index) for index in again}  # not yet committed again
        self._kept: dict[int, int] = {}
        self._prefix = 0  # number of shards committed without a gap from the first one
        self._prefix_kept = 0
        self._total_kept = 0
        self._finished_records = 0
        self._short: dict[int, tuple[int, int]] = {}  # committed short and not leased: end and kept rows
        self._leased: dict[int, Shard] = {}
        self._yield = Yield(stratified, final)
        self._ends: dict[int, Ends] = {}  # of leased shards
        self._in_flight = 0  # leased records
        self._seen = self._seen_kept = 0  # finished ones of these, and their kept rows
        self._frontier = 0  # the first shard that was never leased, nor any above it
        self._next: Shard | None = None
        self.changes_of_shards = 0  # number of leases, commits and releases
        self._changed = True  # whether `next` is out of date: a thousand idle replicas ask for it at every change

    @property
    def kept(self) -> int:
        """Kept records in committed shards."""
        return self._total_kept

    @property
    def done(self) -> bool:
        return not self._again and self._has_enough

    @property
    def _has_enough(self) -> bool:
        _, beyond = self._short.get(self._prefix, (0, 0))
        return self._prefix_kept + beyond >= self._num_records or (self._num_records == math.inf and self.exhausted)

    @property
    def yield_so_far(self) -> float:
        """Kept records per record so far; starts at 1, and is more than 1 with fan-out."""
        shards = ((self._counts(place), len(self.shards[place])) for place in range(self._frontier))
        committed = Totals(self._total_kept, self._finished_records)
        return self._yield.rate(committed, Totals(self._seen_kept, self._seen), self._in_flight - self._seen, shards)

    @property
    def _chances(self) -> Chances:
        return self._yield.chances(self.yield_so_far, self._finished_records + self._seen)

    @property
    def hopeless(self) -> bool:
        if recent := self._yield.recent:
            few = self._num_records < math.inf and self._min_yield and recent.gives_too_few(self._min_yield)
            return bool(few) and not self._has_enough and not self._again
        least = self._min_yield * self._finished_records
        judged = self._finished_records >= self._ENOUGH_TO_JUDGE and self._num_records < math.inf
        return judged and self._total_kept < least and not self._again

    @property
    def exhausted(self) -> bool:
        """The source has no more records, and all of its records are finished."""
        return self._sizes.is_end(self.shards) and not self._waiting and not self._leased

    @property
    def unfinished(self) -> int:
        """Records still to be run, by the yield so far."""
        return self._in_flight - self._seen + self._more()

    @property
    def in_flight(self) -> int:
        """Records of leased shards."""
        return self._in_flight

    @property
    def unleased(self) -> float:
        """Records that were never leased; infinite if the source has no end."""
        return max(0.0, self._sizes.most - self._finished_records - self._in_flight)

    @property
    def missing(self) -> float | None:
        """Kept records that committed shards lack; None if all records have to be run."""
        return None if self._num_records == math.inf else max(0.0, self._num_records - self._total_kept)

    def left(self, shard: Shard) -> int:
        """Unfinished records of a leased shard."""
        ends = self._ends.get(self._sizes.place(shard.index))
        return len(shard) - (len(ends.rows) if ends else 0)

    def observe(self, ends: Iterable[End]) -> None:
        """Records of leased shards are finished. A record reported again counts once."""
        for index, number, kept, tokens in ends:
            there = self._ends.get(self._sizes.place(index))
            if there is not None:
                if number not in there.rows:
                    self._yield.add_finished(tokens, kept)
                self._changed = True
                self._seen -= len(there.rows)
                self._seen_kept -= there.kept
                there.add(number, kept)
                self._seen += len(there.rows)
                self._seen_kept += there.kept

    def needed(self) -> Needed:
        """The records that still have to be run, by the yield so far."""
        if self._again or self._num_records == math.inf or self._expected_before(self._frontier) < self._num_records:
            return Needed()
        chances, launch = self._chances, math.inf
        before = Counts(finalized=self._prefix_kept)
        for place in range(self._prefix, self._frontier):
            after = before.and_then(self._counts(place))
            if launch == math.inf and chances.expected(after) >= self._num_records:
                launch = self._first_with_enough(place, before, chances.expected)
            if chances.sure(after) >= self._num_records:
                cut = self._first_with_enough(place, before, chances.sure)
                return Needed(launch, cut)
            before = after
        return Needed(launch)

    def _first_with_enough(self, place: int, counts: Counts, rows: Callable[[Counts], float]) -> int:
        """The first record of a shard with enough rows below it, when the shards below have `counts`."""
        shard, ends = self.shards[place], self._ends.get(place)
        if place in self._short:
            return self._short[place][0]
        if place not in self._kept:
            for number in range(shard.start, shard.stop):
                kept = ends.rows.get(number) if ends else None
                counts = counts.and_then(Counts(unfinished=1) if kept is None else Counts(finished=kept))
                if rows(counts) >= self._num_records:
                    return number + 1
        return shard.stop

    def _counts(self, place: int) -> Counts:
        """The counts of this shard alone."""
        if place in self._kept:
            return Counts(finalized=self._kept[place])
        if place in self._short:  # records above its end are not needed
            return Counts(finalized=self._short[place][1])
        ends, size = self._ends.get(place), len(self.shards[place])
        return Counts(0, ends.kept, size - len(ends.rows)) if ends else Counts(unfinished=size)

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
        if self._waiting:
            _, there = self._short.get(self._waiting[0], (0, 0))
            if self._expected_before(self._waiting[0]) + there < self._num_records:
                return self.shards[self._waiting[0]]
        return next((self.shards[place] for place in sorted(self._again.intersection(self._waiting))), None)

    @property
    def returned(self) -> bool:
        """Whether the next shard was leased before, or is below one that was: others may wait for it."""
        shard = self.next()
        return shard is not None and self._sizes.place(shard.index) < self._frontier

    def lease(self) -> Shard | None:
        """The lowest shard that is free, or None while the leased ones are expected to be enough."""
        shard = self.next()
        if shard is not None:
            self.changes_of_shards += 1
            self._changed = True
            place = self._sizes.place(shard.index)
            if place == self._waiting[0]:
                heapq.heappop(self._waiting)
            else:
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
            self._open_again(place)
            self._leased[place] = shard
            self._ends[place] = Ends()
            self._in_flight += len(shard)
            self._frontier = max(self._frontier, place + 1)
        return shard

    def release(self, shard: Shard) -> None:
        """The lease ends. A shard that isn't committed is the next to be leased."""
        self.changes_of_shards += 1
        self._changed = True
        place = self._sizes.place(shard.index)
        if self._take_back(place):
            heapq.heappush(self._waiting, place)

    def commit(self, index: int, kept: int, stop: int | None = None, skipped: int = 0) -> None:
        """A shard is on disk with `kept` records: all of it, or the records below `stop`. `skipped` records took
        nothing, because their stratum was full."""
        place = self._sizes.place(index)
        if place in self._kept:
            return
        if recent := self._yield.recent:
            recent.add((stop or self.shards[place].stop) - self.shards[place].start, kept, skipped)
        self.changes_of_shards += 1
        self._changed = True
        self._frontier = max(self._frontier, place + 1)
        ends = self._take_back(place)
        if stop is not None and stop < self.shards[place].stop:
            if ends:
                heapq.heappush(self._waiting, place)
            self._open_again(place)
            self._short[place] = (stop, kept)
            self._total_kept += kept
            self._finished_records += stop - self.shards[place].start
            return
        self._again.discard(place)
        self._open_again(place)
        if ends is None and place in self._waiting:
            self._waiting.remove(place)
            heapq.heapify(self._waiting)
        if ends:
            self._yield.add_finalized(ends.kept, kept)
        self._kept[place] = kept
        self._total_kept += kept
        self._finished_records += len(self.shards[place])
        while self._prefix in self._kept:
            self._prefix_kept += self._kept[self._prefix]
            self._prefix += 1

    def _open_again(self, place: int) -> None:
        """A shard that was committed short may be continued."""
        if there := self._short.pop(place, None):
            stop, kept = there
            self._total_kept -= kept
            self._finished_records -= stop - self.shards[place].start

    def _take_back(self, place: int) -> Ends | None:
        """End a lease. Returns what was finished, or None if the shard was not leased."""
        if self._leased.pop(place, None) is None:
            return None
        ends = self._ends.pop(place)
        self._in_flight -= len(self.shards[place])
        self._seen -= len(ends.rows)
        self._seen_kept -= ends.kept
        return ends

    def _expected_before(self, place: int) -> float:
        """Kept records in the shards below `place`: committed ones, and expected ones of leased shards."""
        counts = Counts(self._total_kept, self._seen_kept, self._in_flight - self._seen)
        if place < self._frontier:  # a released shard: those above it are leased or done
            below = range(self._prefix, place)
            finalized = sum(map(self._kept.get, below, itertools.repeat(0)))
            finalized += sum(kept for one, (_, kept) in self._short.items() if one < place)
            finished = unfinished = 0
            for one, shard in self._leased.items():
                if one < place:
                    ends = self._ends[one]
                    finished += ends.kept
                    unfinished += len(shard) - len(ends.rows)
            counts = Counts(self._prefix_kept + finalized, finished, unfinished)
        return self._chances.expected(counts)

    def _more(self) -> int:
        """Records, beside those in flight, that give the missing ones; at most what the source has."""
        chances, unfinished = self._chances, self._in_flight - self._seen
        rows = self._num_records - chances.expected(Counts(self._total_kept, self._seen_kept, unfinished))
        records = min(chances.records(rows), rows / self._min_yield if self._min_yield else math.inf)
        return math.ceil(min(max(0.0, records - 1e-6), self.unleased))  # not one more for a rounding error

    def _grow(self) -> None:
        new = self._sizes.following(self.shards, self._more(), self.yield_so_far)
        for shard in new:
            heapq.heappush(self._waiting, len(self.shards))
            self.shards.append(shard)
        if new:
            self._on_growth()
