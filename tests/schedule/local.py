"""Whole runs with their workers in this process, on scripted engines, which are lost as they are told to."""

import asyncio
import contextlib
import dataclasses

from synth.configuration.parsing import parse
from synth.engines import EngineError
from synth.schedule.dedup_keys import KeyFinalizer
from synth.schedule.plan import Plan
from synth.schedule.pool import GrowingPool
from synth.schedule.scheduler import Scheduler
from synth.schedule.worker import Worker
from synth.schedule.worker_handle import WorkerLost
from synth.sources.store import stored
from synth.storage.decisions import Decisions
from synth.storage.journal import finished_numbers
from synth.storage.run_folder import RunFolder
from synth.storage.shard import committed
from tests.schedule.configs import config
from tests.storage.rows import shard_rows


class Local:
    """A WorkerHandle whose worker runs here. It is lost, all at once, soon after it has taken `lives` shards."""

    def __init__(self, worker, config, lives=10**9, starts=True, hangs=False):
        self.worker, self.config, self.lives, self.starts = worker, config, lives, starts
        config.engine.hangs = hangs
        self.started = False
        self.lost = asyncio.Event()

    async def start(self):
        if not self.starts:
            await asyncio.sleep(3600)
        await self.worker.start()
        self.started = True
        self.config.engine.decode = self.config.model.load_chat_template().decode

    async def run(self, shard, numbers=None, poison=None):
        self.lives -= 1
        if self.lives <= 0:
            asyncio.get_running_loop().call_later(0.3 if self.config.engine.hangs else 0.02, self.lost.set)
        running = asyncio.create_task(self.worker.run(shard, numbers, poison))
        running.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody asks, once one has failed
        lost = asyncio.create_task(self.lost.wait())
        done, _ = await asyncio.wait([running, lost], return_when=asyncio.FIRST_COMPLETED)
        lost.cancel()
        if running in done:
            return running.result()
        raise WorkerLost("scripted loss")

    async def wants_work(self):
        await self.worker.wants_work()

    async def poll(self, seen, needed):
        return await self.worker.poll(seen, needed)

    async def probe(self, seconds):
        await self.worker.probe(seconds)

    async def counters(self):
        return await self.worker.counters()

    async def stop(self):
        return await self.worker.stop()

    async def kill(self):
        if self.started:  # a run may be stopped before
            with contextlib.suppress(EngineError, OSError):
                await self.worker.stop()


class LocalRun:
    """A run of `steps` in `folder`, as it goes on with what is there. `engine` makes an engine for each worker;
    `workers(index, count)` are Local's arguments for the count-th worker of a replica, `keys` more of the
    configuration."""

    def __init__(
        self,
        folder,
        steps,
        engine,
        wanted,
        replicas=1,
        shard_size=8,
        in_flight=8,
        workers=lambda index, count: {},
        **keys,
    ):
        self.folder, self.wanted = RunFolder(folder), wanted
        self.folder.make()
        resolved = (
            config({"records_in_flight": in_flight}).resolved | {"strategy": {"name": "test", "steps": steps}} | keys
        )
        parsed = parse(resolved)
        strategy = parsed.strategy
        self.plan = Plan(
            wanted,
            shard_size=shard_size,
            replicas=1,
            min_yield=0.05,
            known=self._known(shard_size),
            final=not strategy.duplicates,
            stratified=parsed.strata is not None,
        )
        with stored(parsed.source, self.folder.source) as (_, put_in_place):
            put_in_place()
        self.pool = GrowingPool(strategy.pool, Decisions(self.folder.pool)) if strategy.pool else None
        self.claims = None
        if strategy.duplicates:
            self.claims = KeyFinalizer(strategy.duplicates, folder, "fingerprint", list(self.plan.shards))
        for shard in self.plan.shards:
            if summary := committed(self.folder, shard, "fingerprint"):
                self.plan.commit(summary.index, summary.kept, summary.stop, summary.skipped)
        self.config, self.locals = parsed, []
        self.replicas, self.spawned = replicas, [0] * replicas
        self.committed = []

        def spawn(index):
            given = workers(index, self.spawned[index])
            self.spawned[index] += 1
            own = dataclasses.replace(parsed, engine=engine())
            worker = Worker(own, self.folder.path, "fingerprint", self.pool, self.claims)
            self.locals.append(Local(worker, own, **given))
            return self.locals[-1]

        async def unfinished(shard):
            return set(range(shard.start, shard.stop)) - finished_numbers(self.folder.journal(shard.index))

        self.scheduler = Scheduler(
            self.plan, replicas, spawn, self.committed.append, unfinished=unfinished, ordered=True
        )

    def _known(self, shard_size):
        """The shards that an earlier run has begun: all are of one size."""
        plan = Plan(1000 * shard_size, shard_size=shard_size, replicas=1, min_yield=1)
        plan.next()
        begun = [shard.index for shard in plan.shards[:1000] if self._begun(shard.index)]
        return plan.shards[: max(begun, default=-1) + 1]

    def _begun(self, index):
        return self.folder.shard(index).exists() or self.folder.journal(index).exists()

    async def go(self):
        async with asyncio.timeout(120):
            if self.claims:
                await self.claims.start()
            try:
                await self.scheduler.run()
            finally:
                for finalization in list(getattr(self.claims, "_finalizations", {}).values()):
                    finalization.cancel()
        return self

    @property
    def rows(self):
        """The dataset: the first rows of the shards in order."""
        there = [shard.index for shard in self.plan.shards if self.folder.shard(shard.index).exists()]
        return [row for index in there for row in shard_rows(self.folder.shard(index))][: self.wanted]

    @property
    def summaries(self):
        found = [committed(self.folder, shard, "fingerprint") for shard in self.plan.shards]
        return [summary for summary in found if summary]

    @property
    def rejected(self):
        there = [shard.index for shard in self.plan.shards if self.folder.rejected(shard.index).exists()]
        return [row for index in there for row in shard_rows(self.folder.rejected(index))]
