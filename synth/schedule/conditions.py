"""Condition variables for many waiters with different conditions in one event loop.

Code that changes what a condition reads calls `announce`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

LONGEST_PAUSE_S = 0.1  # between a change and the check of conditions


class Conditions:
    """`until` waits for a condition; `unless` awaits something until it is done or the condition holds."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._checking: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            holds = asyncio.get_running_loop().create_future()
            self._waiting[holds] = condition
            try:
                await holds
            finally:
                del self._waiting[holds]

    async def unless(self, condition: Callable[[], bool], awaited: Awaitable[Any]) -> bool:
        """Whether `awaited` finished before the condition held."""
        task = asyncio.ensure_future(awaited)
        held = asyncio.create_task(self.until(condition))
        try:
            await asyncio.wait([task, held], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            return task.done()
        finally:
            task.cancel()
            held.cancel()

    def announce(self) -> None:
        """After a change: wake the waiters whose condition holds now. A thousand replicas wait here, so checks take at
        most a tenth of the processor, and one check may cover several changes."""
        if self._waiting and self._checking is None:
            self._checking = asyncio.get_running_loop().call_at(self._not_before, self._check)

    def _check(self) -> None:
        self._checking, begun = None, time.thread_time()  # CPU time: a busy machine is no reason to wait longer
        for holds, condition in self._waiting.items():
            if not holds.done() and condition():
                holds.set_result(None)
        pause = min(LONGEST_PAUSE_S, 9 * (time.thread_time() - begun))
        self._not_before = asyncio.get_running_loop().time() + pause
