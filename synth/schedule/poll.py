"""Polls a worker: its finished records count in the plan, and it cancels records that the plan no longer needs.

A poll costs a call to the worker, so workers are polled a few times a second, less often the more there are.
"""

import asyncio
import time

from synth.schedule.conditions import LONGEST_PAUSE_S
from synth.schedule.needed import Needed
from synth.schedule.plan import Plan
from synth.schedule.worker_handle import WorkerHandle

EVERY_S = 0.25
AT_ONCE = 1000  # polls a second, over all workers


class NeededRecords:
    """The records that a plan needs, cached for all polls: near the end of a run, computing them walks over all leased
    shards. They are computed again after each lease, commit or release, otherwise only so often that it takes a tenth
    of the processor."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._shards = -1
        self._not_before = 0.0
        self._needed = Needed()

    def needed(self) -> Needed:
        if time.monotonic() >= self._not_before or self._shards != self._plan.changes_of_shards:
            self._shards = self._plan.changes_of_shards
            begun = time.thread_time()
            self._needed = self._plan.needed()
            self._not_before = time.monotonic() + min(LONGEST_PAUSE_S, 9 * (time.thread_time() - begun))
        return self._needed


class Poll:
    """Polls one worker. May raise WorkerLost or EngineError."""

    def __init__(self, worker: WorkerHandle, plan: Plan, needed_records: NeededRecords):
        self._worker, self._plan, self._needed_records = worker, plan, needed_records
        self._seen = 0
        self._turn = asyncio.Lock()

    async def poll(self) -> bool:
        """Returns whether the next shard to lease has changed."""
        async with self._turn:
            ends = await self._worker.poll(self._seen, self._needed_records.needed())
            self._seen += len(ends)
        before = self._plan.next()
        self._plan.observe(ends)
        return self._plan.next() is not before


def pause_s(workers: int) -> float:
    """Seconds between two polls of one of these workers."""
    return max(EVERY_S, workers / AT_ONCE)
