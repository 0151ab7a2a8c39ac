"""Runs the bisection (bisection.py) of one shard on one worker: its records alone, in ever smaller groups.

A call ends when all the shard's records are finished or its worker is lost; `bisection` keeps the state for the next
worker.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from synth.engines import EngineError
from synth.records import Shard
from synth.schedule.bisection import Bisection
from synth.schedule.shared import SharedLost
from synth.schedule.worker_handle import WorkerHandle, WorkerLost
from synth.storage.shard import ShardSummary

log = logging.getLogger(__name__)


class SuspectDied(WorkerLost):
    """A worker was lost over suspicious records: one step of the bisection."""


async def search(
    shard: Shard,
    worker: WorkerHandle,
    bisection: Bisection,
    attempt: Callable[[Awaitable[ShardSummary | None]], Awaitable[None]],
    on_poison: Callable[[int], None],
) -> None:
    """Returns when all suspicious records are finished. Calls `on_poison` for each record rejected as poison.

    `attempt` awaits its argument. Raises SuspectDied; WorkerLost or EngineError for other causes; exceptions of
    `attempt`.
    """
    while bisection.group:
        try:
            await worker.probe(bisection.control_s)
        except (WorkerLost, EngineError):
            bisection.discard_death()
            raise
        bisection.confirm_death()
        if error := bisection.poison:
            [number] = bisection.group
            log.warning("record %d is rejected as poison: %s", number, error)
            await worker.run(shard, (), {number: error})
            on_poison(number)
        else:
            await _try(shard, worker, bisection, attempt)
        bisection.finished()


async def _try(
    shard: Shard,
    worker: WorkerHandle,
    bisection: Bisection,
    attempt: Callable[[Awaitable[ShardSummary | None]], Awaitable[None]],
) -> None:
    group, clock = bisection.group, asyncio.get_running_loop().time
    began = clock()
    try:
        await attempt(worker.run(shard, group))
    except SharedLost:
        raise
    except (WorkerLost, EngineError) as error:
        last_chance = bisection.last_chance
        bisection.died(clock() - began, str(error))
        if last_chance:  # whatever the cause, this death makes the record poison
            raise
        raise SuspectDied(f"{error}, over {len(group)} suspicious record(s)") from error
