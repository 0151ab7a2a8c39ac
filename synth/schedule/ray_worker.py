"""A worker in a Ray actor of its own (placed_process.py), and the scheduler's handle of it."""

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from synth.components.source_code import source_code
from synth.configuration.config import Config
from synth.configuration.parsing import parse
from synth.engines import EngineError, Placement, Unusable
from synth.records import Shard
from synth.schedule.counters import Counters
from synth.schedule.dedup_processes import DedupProcesses
from synth.schedule.ends import End
from synth.schedule.engine_pool import Pools
from synth.schedule.engine_process import Facts, RayEngine
from synth.schedule.needed import Needed
from synth.schedule.placed_process import Log, PlacedProcess, lead_process_group
from synth.schedule.pooled_engine import PooledEngine
from synth.schedule.shared import SharedProcess
from synth.schedule.worker import Worker
from synth.schedule.worker_handle import WorkerLost
from synth.storage.manifest import describe, differing_keys
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary


class WorkerProcess(Worker):
    """The Ray actor that runs a Worker. Its output and its engine's go to its log. `pool` and `claims` are a SharedPool
    and FinalizedKeys in other processes, if the run has any.

    The configuration arrives as resolved keys and is instantiated here: a user's step may hold what can't be pickled (a
    lock, a client, a model), as with Ray Data's callable classes. Unpickling the shipped steps would be no faster: 0.1
    s either way, nearly all of it imports.
    """

    def __init__(
        self,
        resolved: dict[str, Any],
        run_dir: str,
        fingerprint: str,
        index: int,
        pool: Any,
        claims: Any,
        earlier: Collection[str],
        code: Mapping[str, str],
    ):
        lead_process_group()
        self._log = Log(RunFolder(Path(run_dir)).worker_log(index))
        self._code = code
        config = parse(resolved)
        self._pooled = {name: PooledEngine(name) for name in config.pools}
        super().__init__(config, Path(run_dir), fingerprint, pool, claims, earlier, engines=self._pooled)

    async def update_engines(
        self, model: str, engines: Mapping[int, Any], facts: Facts, version: int, workers: int
    ) -> None:
        """Set a model's current engines, as actors by number, and the number of workers that share them."""
        pooled = self._pooled[model]
        if pooled.update({number: RayEngine(actor) for number, actor in engines.items()}, facts, version):
            self.served_by(model, len(engines) / workers)

    def _on_stuck(self, id: str, step: str) -> None:
        try:
            self._set_aside(id, step)
        finally:
            os._exit(1)

    async def start(self) -> None:
        if differing := differing_keys(self._code, source_code(self._config.identity())):
            raise Unusable(f"{describe(differing)}: the code changed after this run began; restart the run")
        try:
            await asyncio.gather(super().start(), *(one.ready() for one in self._pooled.values()))
        except EngineError as error:
            raise self._log.explained(error) from error
        # Threads of steps that never end must not take threads from others.
        threads = ThreadPoolExecutor(self._in_flight + 32, "steps")
        asyncio.get_running_loop().set_default_executor(threads)


class RayWorker:
    """A WorkerHandle for a Ray actor placed by `placement`. A dead actor raises WorkerLost.

    If the run has models beside main, `pools` keeps the worker updated about their engines.
    """

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        fingerprint: str,
        index: int,
        placement: Placement,
        pool: SharedProcess | None = None,
        claims: DedupProcesses | None = None,
        earlier: Collection[str] = (),
        code: Mapping[str, str] | None = None,
        pools: Pools | None = None,
        node: str | None = None,
    ):
        self._start_timeout_s = config.cluster.start_timeout_s
        given = (config.resolved, str(run_dir), fingerprint, index, pool, claims, earlier, code or {})
        self._process = PlacedProcess(WorkerProcess, given, placement, node=node)
        self._pools = pools

    async def start(self) -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._process.make(self._start_timeout_s)
                if self._pools:
                    self._pools.follow(self._process)
                await self._process.call("start")
        except TimeoutError:
            limit = self._start_timeout_s
            raise WorkerLost(f"the engine took more than cluster.start_timeout_s={limit:g} to start") from None

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary | None:
        summary: ShardSummary | None = await self._process.call("run", shard, numbers, poison)
        return summary

    async def wants_work(self) -> None:
        await self._process.call("wants_work")

    async def poll(self, seen: int, needed: Needed) -> Sequence[End]:
        ends: Sequence[End] = await self._process.call("poll", seen, needed)
        return ends

    async def probe(self, seconds: float) -> None:
        await self._process.call("probe", seconds)

    async def counters(self) -> Counters:
        counters: Counters = await self._process.call("counters")
        return counters

    async def stop(self) -> Counters:
        counters: Counters = await self._process.call("stop")
        return counters

    async def kill(self) -> None:
        """Never raises."""
        if self._pools:
            self._pools.unfollow(self._process)
        await self._process.kill()
