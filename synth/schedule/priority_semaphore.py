"""A semaphore that serves the lowest record number first.

Lower numbers first, because records may wait for lower ones, and the dataset consists of the lowest.
"""

import asyncio
import heapq
import itertools


class PrioritySemaphore:
    def __init__(self, count: int):
        self._count = self._free = count  # `_free` is negative after a resize below the number of slots in use
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()

    async def acquire(self, number: int) -> "Slot":
        """Waits for a slot; no lower record may be waiting for one."""
        slot = Slot(self, number)
        await slot.acquire()
        return slot

    def resize(self, count: int) -> None:
        self._free += count - self._count
        self._count = count
        while self._free > 0 and self._waiting:
            self._free -= 1
            self._give_back()

    async def _take(self, number: int) -> None:
        if self._free > 0:
            self._free -= 1
            return
        given = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, next(self._ticket), given))
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():  # given and cancelled in the same moment
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting and self._free >= 0:
            _, _, given = heapq.heappop(self._waiting)
            if not given.done():
                given.set_result(None)
                return
        self._free += 1


class Slot:
    """A record's slot, which can be released and acquired again. A second `release` does nothing."""

    def __init__(self, semaphore: PrioritySemaphore, number: int):
        self._semaphore, self._number = semaphore, number
        self._held = False

    async def acquire(self) -> None:
        await self._semaphore._take(self._number)
        self._held = True

    def release(self) -> None:
        if self._held:
            self._held = False
            self._semaphore._give_back()
