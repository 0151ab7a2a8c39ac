"""Backpressure: decides when a worker's next record may begin, so that its engine stays busy and memory stays bounded.

A record may fan out into thousands. The number of outputs is known once the first records have fanned out. Until then
only few records run, and more of them as records fan out (`declared`: the strategy declares the number). Afterwards a
record counts as the average number of outputs. A record that has fanned out counts as its unfinished branches. No
record begins while the branches alone fill the engine, or while the running records may become more than `AHEAD` times
as many. The lowest record may always begin, because others may wait for it.
"""

import asyncio
import heapq
import itertools

from synth.schedule.priority_semaphore import PrioritySemaphore, Slot

FEW = 4
AHEAD = 8


class Launches:
    """`begin` and `end` a record. In between it may `branch_out`, in one or several steps, and each `branch` of it runs
    when there is capacity. `most` is how many of these run at once."""

    def __init__(self, most: int, declared: bool):
        self._most, self._declared = most, declared
        self._semaphore = PrioritySemaphore(most)
        self._branches: dict[int, int] = {}  # unfinished branches of each running record; 0 before it fans out
        self._lowest: list[int] = []  # a heap of running records, and of some that have ended
        self._unfinished = 0  # branches
        self._whole = 0  # records that have not fanned out
        self._seen = self._became = 0  # records that have fanned out, and their outputs
        self._widths: dict[int, int] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()

    @property
    def idle(self) -> bool:
        """Whether no record runs or waits. Then no state of ended records is left."""
        return not (self._branches or self._widths or self._unfinished or self._whole or self._waiting)

    def resize(self, most: int) -> None:
        self._most = most
        self._semaphore.resize(most)
        self._wake()

    async def begin(self, number: int) -> None:
        if not self._waiting and self._admits(number):
            self._admit(number)
            return
        admitted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, next(self._ticket), admitted))
        self._wake()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():  # admitted and cancelled in the same moment
                self.end(number)
            raise

    def branch_out(self, number: int, count: int) -> None:
        """A record, or one of its branches, becomes `count` branches."""
        self._branches[number] = self._branches.get(number, 0) + count
        self._unfinished += count
        if number in self._widths:  # a branch, which ends when its own branches have
            self._widths[number] += count - 1
            self._became += count - 1
        else:
            self._whole -= 1
            self._see(number, count)
        self._wake()

    async def branch(self, number: int) -> Slot:
        return await self._semaphore.acquire(number)

    def branch_ended(self, number: int) -> None:
        if self._branches.get(number):
            self._branches[number] -= 1
            self._unfinished -= 1
        self._wake()

    def end(self, number: int) -> None:
        branches = self._branches.pop(number, None)
        if branches is None:
            return
        self._unfinished -= branches
        if self._widths.pop(number, None) is None:
            self._whole -= 1
            self._see(number, 1)
            self._widths.pop(number)
        self._wake()

    def _see(self, number: int, width: int) -> None:
        self._widths[number] = width
        self._seen += 1
        self._became += width

    def _admits(self, number: int) -> bool:
        while self._lowest and self._lowest[0] not in self._branches:
            heapq.heappop(self._lowest)
        if not self._lowest or number < self._lowest[0]:
            return True
        if not self._declared and self._whole >= FEW * 2 ** min(self._seen, 30):
            return False
        each = max(1.0, self._became / self._seen) if self._seen else 1.0
        return self._unfinished < self._most and self._unfinished + self._whole * each < AHEAD * self._most

    def _admit(self, number: int) -> None:
        self._branches[number] = 0
        heapq.heappush(self._lowest, number)
        self._whole += 1

    def _wake(self) -> None:
        while self._waiting:
            number, _, admitted = self._waiting[0]
            if not admitted.done():
                if not self._admits(number):
                    return
                self._admit(number)
                admitted.set_result(None)
            heapq.heappop(self._waiting)
