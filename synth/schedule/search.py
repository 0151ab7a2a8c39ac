"""The search for the record that kills its engine: a shard made with nothing beside it, in ever smaller groups.

One call goes on until all the shard's records are finished or its worker is lost; what was learnt is kept in
`bisection`, for the next worker. Knows one worker and one shard.
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
    """A worker was lost over records that were known to be dangerous: a step further in finding the one that is."""


async def search(
    shard: Shard,
    worker: WorkerHandle,
    bisection: Bisection,
    attempt: Callable[[Awaitable[ShardSummary | None]], Awaitable[None]],
    on_poison: Callable[[int], None],
) -> None:
    """Returns when all suspicious records have come to an end, and tells `on_poison` of each that was set aside.

    `attempt` awaits what it is given. Raises SuspectDied, or WorkerLost or EngineError for what is not their doing, and
    what `attempt` raises.
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
            log.warning("record %d is set aside as poison: %s", number, error)
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
        if last_chance:  # whatever is to be blamed for it, nothing has become of this
            raise
        raise SuspectDied(f"{error}, over {len(group)} suspicious record(s)") from error
