"""One worker that makes all the records of a plan, as a run's scheduler has several do."""

import asyncio

from synth.records import Shard
from synth.schedule.plan import Plan
from synth.schedule.worker import Worker


async def run_all(worker: Worker, plan: Plan) -> None:
    """All shards of a plan by one worker, each leased when it wants work."""
    running: set[asyncio.Task] = set()

    async def make_shard(shard: Shard) -> None:
        summary = await worker.run(shard)
        plan.commit(summary.index, summary.kept)
        plan.release(shard)

    while not plan.done and not plan.exhausted:
        if shard := plan.lease():
            running.add(asyncio.create_task(make_shard(shard)))
            await asyncio.sleep(0)  # the worker has it now
            await worker.wants_work()
        else:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
