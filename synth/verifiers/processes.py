"""A pool of subprocesses for a function, with bounds on time and memory, for code that may hang, crash or grow.

`await processes.ask(argument)` returns the function's result, or how it failed. A process is started when it is first
needed and serves one call after another; after a timeout it is killed and replaced. The event loop never blocks, and at
most `count` calls run at once.

The bound that normally decides is `cpu_s`, of processor time, so that a busy machine changes no verdict; `timeout_s`,
of wall time, is the last resort. The function and its argument are pickled; the result comes back as JSON.
"""

import asyncio
import json
import os
import pickle
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cloudpickle

from synth.engines import Unusable
from synth.own_time import ours
from synth.verifiers import child
from synth.verifiers.child import MOST_DETAIL

START_S = 120.0  # for a process to import its modules
CLOSED_S = 5.0  # for a process to end after it has closed its pipes
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


@dataclass(frozen=True)
class Reply:
    """`value` is the function's result; `detail` its exception, or how its process ended."""

    kind: Literal["value", "timeout", "error"]
    value: Any = None
    detail: str = ""


class Processes:
    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any],
        *,
        timeout_s: float,
        count: int,
        cpu_s: float | None = None,
        memory_gb: float | None = None,
    ):
        self._name, self._function = name, function
        self._timeout_s, self._cpu_s, self._count, self._memory_gb = timeout_s, cpu_s, count, memory_gb
        self._turns: asyncio.Semaphore | None = None
        self._idle: list[Process] = []

    async def ask(self, argument: Any) -> Reply:
        """Raises Unusable if the process can't be started."""
        request = pickle.dumps(argument)
        if self._turns is None:
            self._turns = asyncio.Semaphore(self._count)
        with ours():
            async with self._turns:
                waiting = next((process for process in self._idle if process.returncode is None), None)
                self._idle = [
                    process for process in self._idle if process.returncode is None and process is not waiting
                ]
                process = waiting or await self._started()
                try:
                    reply = await asyncio.wait_for(_exchange(process, request), self._timeout_s)
                except TimeoutError:
                    await _end(process)
                    return Reply("timeout", detail=f"it took more than timeout_s={self._timeout_s:g}")
                except (OSError, EOFError):
                    status = await _end(process, CLOSED_S)
                    if status == -signal.SIGPROF and self._cpu_s is not None:
                        return Reply("timeout", detail=f"it took more than cpu_s={self._cpu_s:g} of processor time")
                    return Reply("error", detail=f"its process ended with {_described(status)}")
                except BaseException:  # the record is cancelled
                    await asyncio.shield(_end(process))
                    raise
                self._idle.append(process)
        if "error" in reply:
            return Reply("error", detail=reply["error"])
        return Reply("value", reply["value"])

    async def _started(self) -> Process:
        memory = int(self._memory_gb * 2**30) if self._memory_gb else None
        limits = {"memory": memory, "cpu_s": self._cpu_s}
        setup = {"path": sys.path, "function": cloudpickle.dumps(self._function), **limits}
        command = (sys.executable, "-P", str(Path(child.__file__)))
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=os.environ | _ONE_THREAD)
        try:
            reply = await asyncio.wait_for(_exchange(process, pickle.dumps(setup)), START_S)
        except BaseException as error:
            status = await asyncio.shield(_end(process, CLOSED_S if isinstance(error, OSError | EOFError) else 0))
            if isinstance(error, TimeoutError | OSError | EOFError):
                late = isinstance(error, TimeoutError)
                why = f"has not started within {START_S:g} s" if late else f"ended with {_described(status)}"
                raise Unusable(f"the process of {self._name} {why}") from None
            raise
        if "error" in reply:
            await _end(process)
            raise Unusable(f"the process of {self._name} can't be started: {reply['error'][:MOST_DETAIL]}")
        return process

    async def close(self) -> None:
        """End the idle processes. They end with this process in any case."""
        while self._idle:
            await _end(self._idle.pop())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_turns": None, "_idle": []}


async def _exchange(process: Process, request: bytes) -> dict[str, Any]:
    """Raises OSError and EOFError (such as IncompleteReadError) if the process has ended."""
    assert process.stdin and process.stdout
    process.stdin.write(struct.pack("!I", len(request)) + request)
    await process.stdin.drain()
    (length,) = struct.unpack("!I", await process.stdout.readexactly(4))
    reply: dict[str, Any] = json.loads(await process.stdout.readexactly(length))
    return reply


async def _end(process: Process, wait_s: float = 0) -> int:
    """Kill it if it does not end by itself. Returns its exit status, or minus the signal that ended it."""
    try:
        return await asyncio.wait_for(process.wait(), wait_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # process.kill() may take the status from asyncio's watcher
        return await process.wait()


def _described(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
