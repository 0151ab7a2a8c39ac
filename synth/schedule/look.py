"""The looks at a worker: what it has finished counts in the plan, and what the plan needs no more it does not make.

A look costs a call to the worker, so they come some times a second, and less often the more workers there are.
"""

import asyncio

from synth.schedule.plan import Plan
from synth.schedule.worker_handle import WorkerHandle

EVERY_S = 0.25
AT_ONCE = 1000  # looks a second, at all workers together


class Looks:
    """At one worker. May raise WorkerLost or EngineError."""

    def __init__(self, worker: WorkerHandle, plan: Plan):
        self._worker, self._plan = worker, plan
        self._seen = 0
        self._turn = asyncio.Lock()

    async def look(self) -> bool:
        """Returns whether another shard is to be leased now, or none any more."""
        async with self._turn:
            ends = await self._worker.look(self._seen, self._plan.needed())
            self._seen += len(ends)
        before = self._plan.next()
        self._plan.observe(ends)
        return self._plan.next() is not before


def pause_s(workers: int) -> float:
    """Between two looks at a worker, of so many."""
    return max(EVERY_S, workers / AT_ONCE)
