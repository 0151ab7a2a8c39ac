"""Several small runs side by side on one engine, in this process and without Ray: a worker for each run folder.

Promises: the engine is loaded once; no run waits for another one, since the records of all are in its batch together;
finished records are in their run's journal, as in any run, so that the same command resumes after a stop.
"""

import asyncio
import dataclasses
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

from synth.configuration.config import Config
from synth.engines import Engine, PoolingEngine
from synth.engines.start import start_failure
from synth.records import Shard
from synth.resumption.opening import Opened
from synth.schedule.counters import Counters
from synth.schedule.dedup_keys import KeyFinalizer
from synth.schedule.placed_process import explained
from synth.schedule.pool import PoolProcess
from synth.schedule.usage import FairShareTime, UsageMeter
from synth.schedule.worker import Worker


class SharedEngine:
    """An engine that outlives the workers that start and stop it."""

    def __init__(self, engine: Engine | PoolingEngine):
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def start(self) -> None:
        """It has been started."""

    async def stop(self) -> None:
        """It is stopped later."""


@asynccontextmanager
async def loaded(engine: Engine | PoolingEngine, log: Path) -> AsyncIterator[SharedEngine]:
    """The engine for the time of the context. Its output while loading goes to the log, which is created if there is
    any. Raises EngineError, and ConfigError if it does not suit this machine."""
    os.environ |= engine.placement(_sees_gpu(), 0).env
    try:
        with _printing_to(log):
            await engine.start()
    except Exception as error:
        raise explained(start_failure(error), log) from error
    try:
        yield SharedEngine(engine)
    finally:
        with _printing_to(log):
            await engine.stop()


class SideBySide:
    """Call `run` for all, and `counters` meanwhile. `others` are the engines of the models beside main."""

    def __init__(
        self,
        engine: SharedEngine,
        runs: Sequence[tuple[Config, Opened]],
        others: Mapping[str, SharedEngine] | None = None,
    ):
        self._runs = runs
        meter = {name: UsageMeter(one) for name, one in (others or {}).items()}
        self._others = {name: one if one.task else one.of_a_record() for name, one in meter.items()}
        self._time = FairShareTime.of(engine)
        self._engine = engine
        self._workers: list[Worker] = []

    async def run(self) -> None:
        """Run the planned records of all runs. Raises EngineError and OSError; finished records are on disk."""
        try:
            async with asyncio.TaskGroup() as group:
                for config, opened in self._runs:
                    group.create_task(self._make(config, opened))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def counters(self) -> list[Counters]:
        return [await worker.counters() for worker in self._workers]

    async def _make(self, config: Config, opened: Opened) -> None:
        folder, manifest = opened.folder, opened.manifest
        planned = [shard for shard in manifest.shards if shard.index not in manifest.committed]
        if not planned:
            return
        finalized = [range(summary.start, summary.stop) for summary in manifest.summaries]
        pool = claims = None
        if rules := config.strategy.pool:
            pool = PoolProcess(rules, folder.path, finalized, manifest.fingerprint, manifest.fingerprints)
            await pool.start()
        if duplicates := config.strategy.duplicates:
            claims = KeyFinalizer(duplicates, folder.path, manifest.fingerprint, list(manifest.shards))
            await claims.start()
        config = dataclasses.replace(config, engine=self._engine)
        worker = Worker(config, folder.path, manifest.fingerprint, pool, claims, time=self._time, engines=self._others)
        await worker.start()
        self._workers.append(worker)
        try:
            for summary in await asyncio.gather(*map(worker.run, planned)):
                if summary:
                    manifest.committed[summary.index] = summary
        finally:
            await worker.stop()
            manifest.write(folder)


def plan(opened: Opened, records: int | Literal["all"]) -> None:
    """Plan the run's first records, as far as its source goes: records that are not planned become one more shard."""
    manifest, size = opened.manifest, opened.contents.size
    stop = min(one for one in (records, size) if isinstance(one, int))
    start = manifest.shards[-1].stop if manifest.shards else 0
    if stop > start:
        manifest.shards.append(Shard(len(manifest.shards), start, stop))
    manifest.num_records = None  # the number is of records to begin, not to keep


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Redirects the output of this process and its children."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(1), os.dup(2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, one in enumerate(before, 1):
            os.dup2(one, number)
            os.close(one)
        os.close(file)
        if not log.stat().st_size:
            log.unlink()


def _sees_gpu() -> bool:
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as Gpus

    return int(Gpus.get_current_node_num_accelerators()) > 0
