"""What Python prints: cells run in the sandbox (sandbox.py), as those of a notebook.

Promise: the same cells print the same, on a busy machine too, unless they print the time, an address or what the
system's randomness gives. So of cells that take too long nothing is told but that. Whatever they are, `run` gives an
Output and raises nothing but Unusable, where the machine has no sandbox.
"""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Literal, NamedTuple

from synth.engines import Unusable
from synth.own_time import ours
from synth.verifiers import sandbox

MOST_BYTES = 2**20


class Output(NamedTuple):
    """`text` is what the last cell printed, and what it raised. `end` says how: `over_time` is of processor time, and
    `timeout` of the wall clock; `killed` is by the system."""

    text: str
    end: Literal["done", "over_time", "timeout", "killed"]


class Notebook:
    """Cells may take `cpu_s` seconds of processor time, `timeout_s` of the wall clock and `memory_mb` of memory in all;
    `at_once` notebooks run side by side. They may import the standard library and `packages` that are installed here.
    """

    def __init__(
        self, *, cpu_s: int, timeout_s: float, memory_mb: int, at_once: int, packages: Sequence[str] = ()
    ) -> None:
        self._cpu_s, self._timeout_s, self._memory_mb, self._at_once = cpu_s, timeout_s, memory_mb, at_once
        self._packages = tuple(packages)

    @cached_property
    def _turns(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self._at_once)

    async def run(self, cells: Sequence[str], most_bytes: int = MOST_BYTES) -> Output:
        """Of the output the first `most_bytes`, after which the cells are ended."""
        job = json.dumps({"cells": list(cells), "memory_mb": self._memory_mb, "cpu_s": self._cpu_s}).encode()
        with ours():
            async with self._turns:
                if problem := await asyncio.to_thread(sandbox.problem):
                    raise Unusable(f"a sandbox for Python {problem}")
                try:
                    return await sandbox.bounded(partial(self._printed, job, most_bytes), self._timeout_s)
                except TimeoutError:
                    return Output("", "timeout")

    async def _printed(self, job: bytes, most_bytes: int, processes: list[Process]) -> Output:
        with sandbox.inside("cells", packages=self._packages) as (command, fds):
            process = await asyncio.create_subprocess_exec(
                *command, pass_fds=fds, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
        processes.append(process)
        printed = await sandbox.exchange(process, job, most_bytes)
        text = printed[:most_bytes].decode(errors="ignore")
        if len(printed) > most_bytes:
            return Output(text, "done")
        status = await process.wait()
        if status == sandbox.OUT_OF_TIME:
            return Output("", "over_time")
        return Output("", "killed") if status == sandbox.KILLED else Output(text, "done")
