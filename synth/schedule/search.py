"""The search for the record that kills its engine: a shard made with nothing beside it, in ever smaller groups.

One call goes on until all the shard's records are finished or its worker is lost; what was learnt is kept in
`suspects`, for the next worker. Knows one worker and one shard.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from synth.engines import EngineError
from synth.records import Shard
from synth.schedule.shared import SharedLost
from synth.schedule.suspects import Suspects
from synth.schedule.worker_handle import WorkerHandle, WorkerLost
from synth.storage.shard import ShardSummary

log = logging.getLogger(__name__)


class SuspectDied(WorkerLost):
    """A worker was lost over records that were known to be dangerous: a step further in finding the one that is."""


async def search(
    shard: Shard,
    worker: WorkerHandle,
    suspects: Suspects,
    attempt: Callable[[Awaitable[ShardSummary | None]], Awaitable[None]],
    on_poison: Callable[[int], None],
) -> None:
    """Returns when all suspects have come to an end, and tells `on_poison` of each that was set aside.

    `attempt` awaits what it is given. Raises SuspectDied, or WorkerLost or EngineError for what is not their doing, and
    what `attempt` raises.
    """
    while suspects.group:
        try:
            await worker.probe(suspects.control_s)
        except (WorkerLost, EngineError):
            suspects.acquit()
            raise
        suspects.convict()
        if error := suspects.poison:
            [number] = suspects.group
            log.warning("record %d is set aside as poison: %s", number, error)
            await worker.run(shard, (), {number: error})
            on_poison(number)
        else:
            await _try(shard, worker, suspects, attempt)
        suspects.finished()


async def _try(
    shard: Shard,
    worker: WorkerHandle,
    suspects: Suspects,
    attempt: Callable[[Awaitable[ShardSummary | None]], Awaitable[None]],
) -> None:
    group, clock = suspects.group, asyncio.get_running_loop().time
    began = clock()
    try:
        await attempt(worker.run(shard, group))
    except SharedLost:
        raise
    except (WorkerLost, EngineError) as error:
        last_chance = suspects.last_chance
        suspects.died(clock() - began, str(error))
        if last_chance:  # whatever is to be blamed for it, nothing has become of this
            raise
        raise SuspectDied(f"{error}, over {len(group)} suspicious record(s)") from error
