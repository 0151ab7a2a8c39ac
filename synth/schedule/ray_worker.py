"""A worker in a process of its own, on whichever machine Ray finds room for it.

The actor sends its output, and its engine's, to RUN_DIR/logs: a terminal is no place for it. It is never
restarted by Ray, since a new process has none of the old one's state: the scheduler starts another.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from synth.config import Config, parse
from synth.engines import EngineError, Placement
from synth.schedule.plan import Shard
from synth.schedule.scheduler import WorkerLost
from synth.schedule.worker import Counters, Worker
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary


class _Actor:
    """Worker's own coroutines, behind a door that only lets plain data through."""

    def __init__(self, resolved: dict[str, Any], run_dir: str, fingerprint: str, index: int):
        log_path = RunFolder(Path(run_dir)).logs_dir / f"worker-{index}.log"
        log_path.parent.mkdir(exist_ok=True)
        log_file = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log_file, sys.stdout.fileno())
        os.dup2(log_file, sys.stderr.fileno())
        self._worker = Worker(parse(resolved), Path(run_dir), fingerprint)

    async def start(self) -> None:
        await self._worker.start()

    async def run(self, shard: Shard) -> ShardSummary | None:
        return await self._worker.run(shard)

    async def hungry(self) -> None:
        await self._worker.hungry()

    async def counters(self) -> Counters:
        return await self._worker.counters()

    async def stop(self) -> None:
        await self._worker.stop()


class RayWorker:
    """A WorkerHandle whose worker is a Ray actor placed by `placement`. A dead actor raises WorkerLost."""

    def __init__(self, config: Config, run_dir: Path, fingerprint: str, index: int, placement: Placement):
        self._start_timeout_s = config.cluster.start_timeout_s
        self._actor: Any = (
            ray.remote(_Actor)
            .options(  # type: ignore[attr-defined]
                num_gpus=placement.gpus,
                num_cpus=placement.cpus,
                max_restarts=0,
                max_concurrency=1000,
                runtime_env={"env_vars": placement.env | {"PYTHONPATH": os.pathsep.join(sys.path)}},
            )
            .remote(config.resolved, str(run_dir), fingerprint, index)
        )

    async def start(self) -> None:
        try:
            await asyncio.wait_for(self._call("start"), self._start_timeout_s)
        except TimeoutError:
            limit = self._start_timeout_s
            raise WorkerLost(f"the engine took more than cluster.start_timeout_s={limit:g} to start") from None

    async def run(self, shard: Shard) -> ShardSummary | None:
        return await self._call("run", shard)

    async def hungry(self) -> None:
        await self._call("hungry")

    async def counters(self) -> Counters:
        return await self._call("counters")

    async def stop(self) -> None:
        await self._call("stop")

    async def kill(self) -> None:
        ray.kill(self._actor)

    async def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return await getattr(self._actor, method).remote(*arguments)
        except RayActorError as error:
            raise WorkerLost(f"its process ended ({type(error).__name__})") from error
        except RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, EngineError) else WorkerLost(str(cause)) from error
