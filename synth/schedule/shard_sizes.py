"""How many records each new shard of a plan has.

Each replica gets several shards, so that none waits for the others at the end, and the last ones are ever smaller. All
shards of a slice have one size, so that no slice has to know the plans of the others.

Numbers only: which shards are leased or committed is the plan's.
"""

import math
from collections.abc import Sequence

from synth.records import Shard, Slice

SHARD_SIZE = 1024  # records, by default
MOST_SHARDS = 10_000  # planned at once by default: each shard is some files and a line of the manifest


class ShardSizes:
    """`most` is the number of records that the source has for this plan. See Plan for the arguments."""

    _SMALL = 16  # records: smaller shards at the end of a run cost more in files than they save in time

    def __init__(
        self,
        num_records: float,
        source_size: float,
        shard_size: int,
        replicas: int,
        slice: Slice | None,
        most_shards: float,
        declares_num_outputs: bool,
    ):
        self.most = source_size
        self._source_size = source_size
        self._slice = slice or Slice(0, 1)
        self._equal = slice is not None
        self._all_at_once = declares_num_outputs or self._equal
        if slice is None:
            shard_size = max(1, min(shard_size, math.ceil(min(num_records, source_size) / (4 * replicas))))
        elif source_size < math.inf:
            self.most = slice.count(int(source_size), shard_size)
        self._largest, self._most_shards = shard_size, most_shards
        self._smallest = min(shard_size, max(self._SMALL, shard_size // 16)) if replicas > 1 else shard_size
        self._replicas = replicas

    def place(self, index: int) -> int:
        """The position in the plan of the shard with this index."""
        return index // self._slice.of

    def is_end(self, shards: Sequence[Shard]) -> bool:
        """Whether the source has no record after these shards."""
        return self._start(len(shards), _stop(shards)) >= self._source_size

    def following(self, shards: Sequence[Shard], records: int, rate: float) -> list[Shard]:
        """The shards after these, for more records with `rate` kept rows each."""
        count, stop, new = len(shards), _stop(shards), list[Shard]()
        ahead = math.inf if self._all_at_once else max(1, self._start(count, stop))
        largest = max(self._largest, math.ceil(records / self._most_shards))
        largest = max(1, math.ceil(largest / max(1.0, rate)))
        while records > 0 and ahead > 0:
            size = self._largest if self._equal else min(self._size(records, largest), records, ahead)
            ahead -= size
            start = self._start(count, stop)
            shard = Shard(self._index(count), start, int(min(start + size, self._source_size)))
            new.append(shard)
            count, stop = count + 1, shard.stop
            records -= len(shard)
        return new

    def _size(self, records: int, most: int) -> int:
        """The size of the next shard, with `records` still to be planned. The last shards are small, so that all
        replicas end together (guided self-scheduling, Polychronopoulos and Kuck 1987; benchmarks/last_shards.py)."""
        return min(most, max(self._smallest, math.ceil(records / (2 * self._replicas))))

    def _index(self, count: int) -> int:
        """The index of the shard after `count` others."""
        return self._slice.number + count * self._slice.of

    def _start(self, count: int, stop: int) -> int:
        """The first record of the shard after `count` others, the last of which ends at `stop`."""
        return self._index(count) * self._largest if self._equal else stop


def _stop(shards: Sequence[Shard]) -> int:
    return shards[-1].stop if shards else 0
