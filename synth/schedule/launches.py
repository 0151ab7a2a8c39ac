"""Which records of a worker may begin: enough to keep its engine busy, and no more than memory holds once they fan out.

A record may become thousands. How many is known when the first ones have come that far: until then few are begun, the
more the more have (`tells` says that the strategy itself knows). From then on a record counts as many as one becomes on
average, and one that has fanned out as many as its branches that are not finished. None begins while those branches
alone fill the engine, or while all that is begun may become more than `AHEAD` times that. The lowest record of all may
always begin: others may wait for it.
"""

import asyncio
import heapq
import itertools

from synth.schedule.priority_semaphore import PrioritySemaphore, Slot

FEW = 4
AHEAD = 8


class Launches:
    """`begin` a record and `end` it. In between it may `branch_out`, once or in several steps, and each `branch` of it
    runs when there is room. `most` is how many of these run at once."""

    def __init__(self, most: int, tells: bool):
        self._most, self._tells = most, tells
        self._semaphore = PrioritySemaphore(most)
        self._branches: dict[int, int] = {}  # of each record that has begun: those unfinished, 0 before it fans out
        self._lowest: list[int] = []  # of those that have begun, and of some that have ended
        self._unfinished = 0  # branches
        self._whole = 0  # records that have not fanned out
        self._seen = self._became = 0  # records that came so far, and what they had become
        self._widths: dict[int, int] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()

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
            if admitted.done() and not admitted.cancelled():  # admitted and cancelled at once
                self.end(number)
            raise

    def branch_out(self, number: int, count: int) -> None:
        """A record, or a branch of it, becomes so many."""
        self._branches[number] = self._branches.get(number, 0) + count
        self._unfinished += count
        if number in self._widths:  # a branch, which ends when these have
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
        if not self._tells and self._whole >= FEW * 2 ** min(self._seen, 30):
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
