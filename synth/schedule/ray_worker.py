"""A worker in a process of its own, on whichever machine Ray finds room for it.

The actor sends its output, and its engine's, to RUN_DIR/logs: a terminal is no place for it. Its process leads a
process group, so that a terminal's Ctrl-C is for the job alone, and whatever it started (an engine core, its ranks)
ends when it does, even by SIGKILL. It is never restarted by Ray, since a new process has none of the old one's
state: the scheduler starts another.
"""

import asyncio
import errno
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from synth.config import Config, parse
from synth.engines import EngineError, Placement, Unavailable, Unusable
from synth.engines.start import judged, kind_of
from synth.errors import reason
from synth.records import Shard
from synth.schedule.background import asked
from synth.schedule.first_records import StepsFail
from synth.schedule.shared import SharedLost, SharedProcess
from synth.schedule.worker import Counters, Worker
from synth.schedule.worker_handle import WorkerLost
from synth.source_code import source_code
from synth.storage.manifest import differing_keys, told
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary

REMOVAL_S = 5.0
A_LITTLE = 0.001  # of a CPU: what needs nothing Ray puts anywhere, and not evenly on all machines
# Of the environment of the run, which a cluster that was there before does not know. Keys stay where they are.
PASSED_ON = re.compile(r"(?!.*(KEY|TOKEN|PASSWORD))(VLLM|NCCL)_")
_ERROR = re.compile(r"(?:^|\s)((?:\w+\.)*\w*(?:Error|Exception): \S.*)")
# Else Ray hides all GPUs from a process that has none of its own, and engines look for them.
_SEES_GPUS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)

# Stands outside the group and waits for the end of its input, which comes when the group's leader has gone.
_GUARD = "trap '' INT TERM HUP; read -r end; kill -s KILL -- -{group}"


def lead_process_group() -> None:
    """From here on, all that this process starts ends with it."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    guard = ["sh", "-c", _GUARD.format(group=os.getpid())]
    nowhere = subprocess.DEVNULL
    _guards.append(
        subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True)
    )


_guards: list[subprocess.Popen[bytes]] = []  # a Popen that is dropped would close the pipe


class WorkerProcess(Worker):
    """A Worker made of plain data, as the Ray actor that it is. What it and its engine say goes to its log. `pool` and
    `claims` are a SharedPool and SettledClaims in processes of their own, if there are any."""

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
        self._log = log_path = RunFolder(Path(run_dir)).worker_log(index)
        log_path.parent.mkdir(exist_ok=True)
        self._log_begins = log_path.stat().st_size if log_path.exists() else 0
        log_file = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log_file, 1)
        os.dup2(log_file, 2)
        self._code = code
        super().__init__(parse(resolved), Path(run_dir), fingerprint, pool, claims, earlier)

    def _on_stuck(self, id: str, step: str) -> None:
        try:
            self._set_aside(id, step)
        finally:
            os._exit(1)

    async def start(self) -> None:
        if differing := differing_keys(self._code, source_code(self._config.identity())):
            raise Unusable(f"{told(differing)}, by now: what has begun by other code is not gone on with")
        try:
            await super().start()
            # Threads of steps that never end are not to keep the others from theirs.
            threads = ThreadPoolExecutor(self._in_flight + 32, "steps")
            asyncio.get_running_loop().set_default_executor(threads)
        except EngineError as error:
            if "root cause" not in str(error):
                raise
            with self._log.open(errors="replace") as log:  # what failed was a process below this one
                log.seek(self._log_begins)
                cause = root_cause(log)
            raise judged(f"{error} ({cause or f'see {self._log}'})", kind_of(cause or "")) from error


def root_cause(log: Iterable[str]) -> str | None:
    """The first error in vLLM's log that is more than a pointer to another one."""
    found = [match[1] for line in log if (match := _ERROR.search(line))]
    return next((one for one in found if "root cause" not in one), None)


class RayWorker:
    """A WorkerHandle whose worker is a Ray actor placed by `placement`. A dead actor raises WorkerLost."""

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        fingerprint: str,
        index: int,
        placement: Placement,
        pool: SharedProcess | None = None,
        claims: SharedProcess | None = None,
        earlier: Collection[str] = (),
        code: Mapping[str, str] | None = None,
    ):
        self._start_timeout_s = config.cluster.start_timeout_s
        self._placement = placement
        self._given = (config.resolved, str(run_dir), fingerprint, index, pool, claims, earlier, code or {})
        self._group: Any = None
        self._actor: Any = None
        self._killed = False

    def _make(self) -> None:
        """Ask Ray for the actor, which may take a minute where Ray's head is gone."""
        import ray

        placement = self._placement
        self._group = _group(placement) if placement.parts > 1 else None
        passed_on = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
        env = passed_on | placement.env | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._actor = (
            ray.remote(WorkerProcess)
            .options(
                **_in_group(self._group, placement) if self._group else _on_one_machine(placement),
                max_restarts=0,
                max_concurrency=1000,
                runtime_env={"env_vars": env | (_SEES_GPUS if self._group else {})},
            )
            .remote(*self._given)
        )
        if self._killed:  # meanwhile
            self._end()

    async def start(self) -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                try:
                    await asked(self._make, self._start_timeout_s)
                except TimeoutError:
                    raise
                except Exception as error:
                    raise WorkerLost(f"Ray did not start its process: {reason(error)}") from error
                await self._call("start")
        except TimeoutError:
            limit = self._start_timeout_s
            raise WorkerLost(f"the engine took more than cluster.start_timeout_s={limit:g} to start") from None

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary | None:
        summary: ShardSummary | None = await self._call("run", shard, numbers, poison)
        return summary

    async def hungry(self) -> None:
        await self._call("hungry")

    async def probe(self, seconds: float) -> None:
        await self._call("probe", seconds)

    async def counters(self) -> Counters:
        counters: Counters = await self._call("counters")
        return counters

    async def stop(self) -> None:
        await self._call("stop")

    async def kill(self) -> None:
        """Never raises: what Ray can't end any more ends with Ray, or is no more."""
        self._killed = True
        if self._actor is not None:
            with suppress(Exception):
                await asked(self._end, REMOVAL_S)

    def _end(self) -> None:
        import ray

        ray.kill(self._actor)
        if self._group:
            ray.util.remove_placement_group(self._group)

    async def _call(self, method: str, *arguments: Any) -> Any:
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return await getattr(self._actor, method).remote(*arguments)
        except RayActorError as error:
            raise WorkerLost(f"its process ended: {_short(error)}") from error
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, SharedLost | Unusable | Unavailable | StepsFail):
                raise type(cause)(str(cause)) from error
            if isinstance(cause, EngineError):
                raise EngineError(str(cause)) from error
            if isinstance(cause, OSError) and cause.errno in NO_ROOM:  # it is the same for every other worker
                raise OSError(cause.errno, f"{cause.strerror} ({cause.filename or 'journal'})") from error
            raise WorkerLost(f"{type(cause).__name__}: {_short(cause)}") from error


def _group(placement: Placement) -> Any:
    """A replica's GPUs on several machines, on as few as there is room; all of them or none. It ends with the run.

    vLLM wants each GPU in a bundle of its own. The worker, which needs none itself, is in the first.
    """
    import ray

    bundles: list[dict[str, float]] = [{"GPU": 1} for _ in range(int(placement.gpus))]
    bundles[0]["CPU"] = max(placement.cpus, A_LITTLE)
    return ray.util.placement_group(bundles, strategy="PACK")


def _on_one_machine(placement: Placement) -> dict[str, Any]:
    """Options of the worker's actor."""
    return {"num_gpus": placement.gpus, "num_cpus": max(placement.cpus, A_LITTLE), "scheduling_strategy": "SPREAD"}


def _in_group(group: Any, placement: Placement) -> dict[str, Any]:
    """Options of the worker's actor. What an engine starts from there finds the group as the current one."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    place = PlacementGroupSchedulingStrategy(group, 0, placement_group_capture_child_tasks=True)
    return {"num_gpus": 0, "num_cpus": max(placement.cpus, A_LITTLE), "scheduling_strategy": place}


def _short(error: BaseException) -> str:
    """What happened: the last line. The lines above it say where, and Ray's advice after it is long."""
    last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return last.rpartition("Worker exit detail: ")[2].partition(" Some common causes")[0].strip()
