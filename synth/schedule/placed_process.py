"""A Ray actor in a process of its own, on a node with capacity for it: workers and engines run in these.

Its output goes to RUN_DIR/logs. It leads a process group, so that Ctrl-C in a terminal reaches the driver only, and all
its child processes (an engine core, its ranks) end with it, even by SIGKILL. Ray never restarts it, since a new process
would lack the old one's state: its owner starts another one.
"""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from synth.engines import EngineError, Placement, Unavailable, Unusable
from synth.engines.start import classified, kind_of
from synth.errors import reason
from synth.schedule.background import asked
from synth.schedule.first_records import StepsFail
from synth.schedule.shared import SharedLost
from synth.schedule.worker_handle import WorkerLost

REMOVAL_S = 5.0
A_LITTLE = 0.001  # of a CPU: actors that need no resources are placed anywhere by Ray, unevenly over the nodes
# Variables of the run's environment that a cluster started earlier lacks. API keys are not passed on.
PASSED_ON = re.compile(r"(?!.*(KEY|TOKEN|PASSWORD))(VLLM|NCCL)_")
_ERROR = re.compile(r"(?:^|\s)((?:\w+\.)*\w*(?:Error|Exception): \S.*)")
# Else Ray hides all GPUs from an actor without GPUs of its own, and engines look for them.
_SEES_GPUS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
NO_CAPACITY = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# Exceptions that are raised here with their own type.
_AS_THEY_ARE = (SharedLost, Unusable, Unavailable, StepsFail)
CALLS = 1000  # running at once

# Runs outside the group and waits for the end of its input, which comes when the group leader ends.
_GUARD = "trap '' INT TERM HUP; read -r end; kill -s KILL -- -{group}"


def lead_process_group() -> None:
    """From here on, all child processes of this process end with it."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    guard = ["sh", "-c", _GUARD.format(group=os.getpid())]
    nowhere = subprocess.DEVNULL
    _guards.append(
        subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True)
    )


_guards: list[subprocess.Popen[bytes]] = []  # garbage collection of a Popen would close its pipe


class Log:
    """The log file for the output of this process and its children."""

    def __init__(self, path: Path):
        self._path = path
        path.parent.mkdir(exist_ok=True)
        self._begins = path.stat().st_size if path.exists() else 0
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)

    def explained(self, error: EngineError) -> EngineError:
        return explained(error, self._path, self._begins)


def explained(error: EngineError, log_path: Path, begins: int = 0) -> EngineError:
    """The error of a failed start, with the cause from vLLM's log (from byte `begins` on) if it only refers to that."""
    if "root cause" not in str(error):
        return error
    with log_path.open(errors="replace") as log:  # a child process failed
        log.seek(begins)
        cause = root_cause(log)
    return classified(f"{error} ({cause or f'see {log_path}'})", kind_of(cause or ""))


def root_cause(log: Iterable[str]) -> str | None:
    """The first error in vLLM's log that does not just refer to another one."""
    found = [match[1] for line in log if (match := _ERROR.search(line))]
    return next((one for one in found if "root cause" not in one), None)


class PlacedProcess:
    """A Ray actor: an object of class `kind`, created there from `arguments`, whose coroutines are called from here.

    Each call raises WorkerLost once the process has ended. It is on `node` if that node exists; else Ray chooses one.
    """

    def __init__(
        self,
        kind: type,
        arguments: tuple[Any, ...],
        placement: Placement,
        calls: int = CALLS,
        node: str | None = None,
    ):
        self._kind, self._arguments, self._placement, self._calls = kind, arguments, placement, calls
        self._node = node
        self._group: Any = None
        self._actor: Any = None
        self._killed = False

    async def make(self, timeout_s: float) -> None:
        """Create the actor, which may take a minute if Ray's head is gone."""
        try:
            await asked(self._make, timeout_s)
        except TimeoutError:
            raise
        except Exception as error:
            raise WorkerLost(f"Ray did not start its process: {reason(error)}") from error

    @property
    def actor(self) -> Any:
        """The actor itself, which can be pickled."""
        return self._actor

    async def call(self, method: str, *arguments: Any) -> Any:
        return await call(self._actor, method, *arguments)

    async def kill(self) -> None:
        """Never raises: an actor that Ray can't kill is gone or ends with Ray."""
        self._killed = True
        if self._actor is not None:
            with suppress(Exception):
                await asked(self._end, REMOVAL_S)

    def _make(self) -> None:
        import ray

        placement = self._placement
        self._group = _group(placement) if placement.nodes > 1 else None
        passed_on = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
        env = passed_on | placement.env | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._actor = (
            ray.remote(self._kind)
            .options(
                **_in_group(self._group, placement) if self._group else _on_one_machine(placement, self._node),
                max_restarts=0,
                max_concurrency=self._calls,
                runtime_env={"env_vars": env | (_SEES_GPUS if self._group else {})},
            )
            .remote(*self._arguments)
        )
        if self._killed:  # while it was created
            self._end()

    def _end(self) -> None:
        import ray

        ray.kill(self._actor)
        if self._group:
            ray.util.remove_placement_group(self._group)


async def call(actor: Any, method: str, *arguments: Any) -> Any:
    """Call a coroutine of an actor. Raises WorkerLost if its process has ended or failed unexpectedly, and EngineError
    if the actor could not be created."""
    from ray.exceptions import RayActorError, RayError, RayTaskError

    try:
        return await getattr(actor, method).remote(*arguments)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, _AS_THEY_ARE):
            raise type(cause)(str(cause)) from error
        if isinstance(cause, EngineError):
            raise EngineError(str(cause)) from error
        if isinstance(cause, OSError) and cause.errno in NO_CAPACITY:  # a full disk is full for all workers
            raise OSError(cause.errno, f"{cause.strerror} ({cause.filename or 'journal'})") from error
        raise WorkerLost(f"{type(cause).__name__}: {_short(cause)}") from error
    except RayError as error:
        why = why_it_ended(error)
        if isinstance(error, RayActorError) and error.actor_init_failed:  # for example, a file is missing on that node
            raise classified(why, kind_of(why)) from error
        raise WorkerLost(f"its process ended: {why}") from error


def why_it_ended(error: Exception) -> str:
    """Ray's cause of an actor's end, in one line."""
    from ray.exceptions import OutOfMemoryError

    memory = "its node's memory was nearly full, and Ray ended it"
    return memory if isinstance(error, OutOfMemoryError) else _short(error)


def _group(placement: Placement) -> Any:
    """A placement group for a replica that spans nodes, on as few nodes as possible; all bundles or none. It ends with
    the run.

    vLLM needs each GPU in a bundle of its own. The actor, which needs no GPU, is in the first bundle.
    """
    import ray

    bundles: list[dict[str, float]] = [{"GPU": 1} for _ in range(int(placement.gpus))]
    bundles[0]["CPU"] = max(placement.cpus, A_LITTLE)
    return ray.util.placement_group(bundles, strategy="PACK")


def _on_one_machine(placement: Placement, node: str | None) -> dict[str, Any]:
    """Ray options of the actor."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = NodeAffinitySchedulingStrategy(node, soft=True) if node else "SPREAD"
    return {"num_gpus": placement.gpus, "num_cpus": max(placement.cpus, A_LITTLE), "scheduling_strategy": place}


def _in_group(group: Any, placement: Placement) -> dict[str, Any]:
    """Ray options of the actor. An engine that starts workers from there finds the group as the current one."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    place = PlacementGroupSchedulingStrategy(group, 0, placement_group_capture_child_tasks=True)
    return {"num_gpus": 0, "num_cpus": max(placement.cpus, A_LITTLE), "scheduling_strategy": place}


def _short(error: BaseException) -> str:
    """The last line, which says what happened. The lines above are a traceback, and Ray's advice below it is long."""
    last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return last.rpartition("Worker exit detail: ")[2].partition(" Some common causes")[0].strip()
