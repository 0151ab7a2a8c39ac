"""Waiting until something holds, for many who wait for different things in one event loop.

Whoever changes anything that a condition looks at says so by `announce`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Conditions:
    """`until` a condition holds, or do something `unless` it holds before."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            holds = asyncio.get_running_loop().create_future()
            self._waiting[holds] = condition
            try:
                await holds
            finally:
                del self._waiting[holds]

    async def unless(self, condition: Callable[[], bool], awaited: Awaitable[Any]) -> bool:
        """Whether what is awaited came to its end before the condition held."""
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
        """Something changed. Only those are woken whose condition holds now: a thousand replicas wait here."""
        for holds, condition in self._waiting.items():
            if not holds.done() and condition():
                holds.set_result(None)
