"""Runs Python cells in the sandbox (sandbox.py), like a notebook, and captures the output.

Promise: the same cells print the same, also on a busy machine, unless they print the time, an address or random data of
the system. So cells that take too long have no output. `run` returns an Output for any cells, and raises only Unusable,
if the machine has no sandbox.
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
    """`text` is the output of the last cell, with its exception. `end` is how it ended: `over_time` is processor time,
    `timeout` wall time; `killed` is by the system."""

    text: str
    end: Literal["done", "over_time", "timeout", "killed"]


class Notebook:
    """Cells may take `cpu_s` seconds of processor time, `timeout_s` of wall time and `memory_mb` of memory in all;
    `at_once` notebooks run in parallel. They may import the standard library and `packages` installed here.
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
        """The first `most_bytes` of the output, after which the cells are killed."""
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
