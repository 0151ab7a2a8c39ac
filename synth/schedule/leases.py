"""Which replica has which shards, and how many workers were lost over each shard.

Promises: a shard is leased to one replica at a time. Shards of a lost worker are free at once. A shard over
which several workers were lost stays with its replica, which runs its records alone (search.py).
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection

from synth.records import Shard
from synth.schedule.bisection import Bisection
from synth.schedule.conditions import Conditions
from synth.schedule.plan import Plan

SUSPICIOUS = 2  # workers lost over a shard, before its records are run alone


class Leases:
    """The leases of the plan's shards by replica. `unfinished` returns the records of a shard that are not on disk.

    If records or finished shards wait for lower ones (`ordered`), a released shard goes to any replica, whatever its
    share: the records of that one may wait for it.
    """

    def __init__(
        self,
        plan: Plan,
        unfinished: Callable[[Shard], Awaitable[Collection[int]]],
        ordered: bool,
        changes: Conditions,
    ):
        self._plan, self._unfinished, self._ordered, self._changes = plan, unfinished, ordered, changes
        self._leased: defaultdict[int, set[Shard]] = defaultdict(set)
        self._left: dict[int, int] = {}  # unfinished records of a shard at its last loss of a worker
        self._losses: Counter[int] = Counter()  # workers lost, by shard
        self.bisections: dict[int, Bisection] = {}  # by shard

    @property
    def urgent(self) -> bool:
        """Whether records may wait for a shard that no replica has."""
        return self._ordered and self._plan.returned

    def of(self, index: int) -> list[Shard]:
        """A replica's shards, the lowest first."""
        return sorted(self._leased[index], key=lambda shard: shard.index)

    def take(self, index: int) -> Shard | None:
        """Lease the next shard to this replica."""
        shard = self._plan.lease()
        if shard is not None:
            self._leased[index].add(shard)
        return shard

    def fair(self, index: int, replicas: int) -> bool:
        """Whether the replica has less than its share: near the end the last shards go to other replicas."""
        if self._plan.next() is None:
            return False
        reserved = sum(map(self._plan.left, self._leased[index]))
        return self.urgent or not reserved or reserved < self._plan.unfinished / max(1, replicas)

    def waits(self, shard: Shard) -> bool:
        """Whether the shard's records may wait for lower ones that no worker runs."""
        other = self._plan.next() if self._ordered else None
        return other is not None and other.index < shard.index

    async def take_back(self, index: int) -> bool:
        """Release a lost worker's shards, except suspicious ones. Returns whether it had finished any record."""
        progress = False
        for shard in self.of(index):
            left = len(await self._unfinished(shard))
            progress = progress or left < self._left.get(shard.index, len(shard))
            self._left[shard.index] = left
            self._losses[shard.index] += 1
            if self._losses[shard.index] < SUSPICIOUS:
                self.give_back(index, shard)
        return progress

    def give_back(self, index: int, *shards: Shard) -> None:
        """Release these shards, or all of a replica, which also clears the suspicion against them."""
        for shard in shards or list(self._leased[index]):
            self._leased[index].discard(shard)
            self._plan.release(shard)
            if not shards:
                self.forget(shard)
        self._changes.announce()

    async def bisection(self, shard: Shard) -> Bisection:
        """The bisection of a suspicious shard, over its unfinished records."""
        bisection = self.bisections.setdefault(shard.index, Bisection(range(shard.start, shard.stop)))
        bisection.keep(await self._unfinished(shard))
        return bisection

    def on_poison(self, shard: Shard) -> None:
        """Note that a record was rejected as poison, which does not count as progress."""
        self._left[shard.index] = self._left.get(shard.index, len(shard)) - 1

    def forget(self, shard: Shard) -> None:
        """Clear the suspicion against a shard."""
        self._losses.pop(shard.index, None)
        self._left.pop(shard.index, None)
        self.bisections.pop(shard.index, None)
