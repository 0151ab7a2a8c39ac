"""A worker's backlog: leased records that are not launched yet. It also keeps which records the run still needs.

Promises: a record is launched only once it is known to be needed. Each launch wakes the tasks that wait here, and so
does each change of the needed records. Records that will never be needed are cancelled, running or not.
"""

import asyncio
import math

from synth.schedule.needed import Needed


class Backlog:
    """`count` is the number of records in it."""

    def __init__(self) -> None:
        self.count = 0
        self.needed = Needed()
        self.lowest_cut = math.inf  # of all so far: records from here on may have been cancelled
        self._tasks: dict[asyncio.Task[None], int] = {}  # of records, and of launchers with their next record
        self._changed = asyncio.Event()

    def add(self, records: int) -> None:
        self.count += records

    def take(self, records: int) -> None:
        """Take launched records, or records that are not needed, out of the backlog."""
        self.count -= records
        self.wake()

    async def at_most(self, count: int) -> None:
        """Returns when the backlog has `count` records or fewer."""
        while self.count > count:
            await self._changed.wait()

    def follow(self, needed: Needed) -> None:
        """Set the needed records; cancel tasks of records that never will be."""
        if needed == self.needed:
            return
        self.needed, self.lowest_cut = needed, min(self.lowest_cut, needed.cut)
        self.wake()
        for task, number in self._tasks.items():
            if number >= needed.cut:
                task.cancel()

    async def is_needed(self, number: int) -> bool:
        """Whether the next record to launch is needed; waits until that is known."""
        self.note(asyncio.current_task(), number)
        while self.needed.launch <= number < self.needed.cut:
            await self._changed.wait()
        return number < self.needed.cut

    def note(self, task: asyncio.Task[None] | None, number: int) -> None:
        """Remember the record of a task, which is cancelled when the record is no longer needed."""
        assert task is not None
        if task not in self._tasks:
            task.add_done_callback(self._tasks.pop)
        self._tasks[task] = number

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
