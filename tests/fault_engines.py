"""Simulated engines that are there to wait or to fail, for the tests and the benchmark of faults, and those of SLURM.

Only the processes that they run in import this module. It hides PyTorch, which the simulation has no use for: importing
it takes four fifths of a worker's start.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import zlib
from array import array

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import WATCHED_EVERY, Answer, EngineError, Placement
from tests.stage import StagedSimulated

sys.modules.setdefault("torch", None)


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class OnePerCPU(StagedSimulated):
    """A simulated engine that takes its place on a machine, as real ones do."""

    def placement(self, on_gpu, replicas_beside):
        return Placement(cpus=1)


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class OnePerNode(StagedSimulated):
    """One that leaves no room for another on a node of tests/slurm."""

    def placement(self, on_gpu, replicas_beside):
        return Placement(cpus=4)


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class TwoProcesses(OnePerCPU):
    """One with a core in a process of its own, as vLLM has: no answer without it.

    Writes the tokens of each answer and its seed into the file `ledger`, if any, where they outlive a SIGKILL.
    """

    ledger: str | None = None
    RUNTIME_ONLY = OnePerCPU.RUNTIME_ONLY | {"ledger"}

    async def start(self):
        self._ledger = os.open(self.ledger or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._core = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._waiting = {}
        self._dead = False
        self._reading = asyncio.create_task(self._read())
        await super().start()

    async def note(self):
        return {"core": self._core.pid}

    async def _read(self):
        while line := await self._core.stdout.readline():
            self._waiting.pop(int(line)).set_result(None)
        self._dead = True
        for answered in self._waiting.values():
            answered.set_exception(EngineError("the simulated engine's core died"))

    async def generate(self, prompt, sampling):
        if self._dead:
            raise EngineError("the simulated engine's core is dead")
        answered = asyncio.get_running_loop().create_future()
        self._waiting[id(answered)] = answered
        answer, _ = await asyncio.gather(super().generate(prompt, sampling), self._ask(answered))
        os.write(self._ledger, f"{len(answer.token_ids)} {sampling.seed}\n".encode())
        return answer

    async def _ask(self, answered):
        await asyncio.sleep(self.first_token_s)  # the core is busy with it for a while
        with contextlib.suppress(ConnectionError):
            self._core.stdin.write(f"{id(answered)}\n".encode())
        await answered


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class LongAnswers(TwoProcesses):
    """One whose answers are long and come in parts. Only the first letters of an answer follow from the seed, each
    further one from all tokens before it: the rest of an answer that was cut is what the whole one would have had. It
    ends where prompt and answer together have a multiple of 1,000 tokens.

    Each part is a line of the ledger, those of answers that were cut, too.
    """

    async def generate(self, prompt, sampling, watch=None):
        token_ids = _letters(prompt, sampling)
        end = "stop" if len(token_ids) < sampling.max_tokens else "length"
        async with self._slots:
            for start in range(0, len(token_ids), WATCHED_EVERY):
                part = token_ids[start : start + WATCHED_EVERY]
                await asyncio.sleep(len(part) / self.tokens_per_second)
                if self._dead:
                    raise EngineError("the simulated engine's core died")
                os.write(self._ledger, f"{len(part)} {sampling.seed}\n".encode())
                if watch and watch(token_ids[: start + WATCHED_EVERY]):
                    return Answer(token_ids[: start + WATCHED_EVERY], "abort", len(prompt))
        return Answer(token_ids, end, len(prompt))


LETTERS = range(67, 93)  # the demonstration model's tokens from a to z; no prompt of its template ends with one


def _letters(prompt, sampling) -> list[int]:
    found = [] if prompt[-1] in LETTERS else random.Random(sampling.seed).choices(LETTERS, k=8)
    state = zlib.crc32(array("i", [*prompt, *found]))
    while len(found) < sampling.max_tokens and (len(prompt) + len(found)) % 1000:
        found.append(LETTERS[state % len(LETTERS)])
        state = zlib.crc32(array("i", found[-1:]), state)
    return found


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Poisoned(OnePerCPU):
    """One whose process dies when it comes across one of these seeds, or breaks, or only fails at it."""

    seeds: list[int]
    breaks: bool = False
    fails: bool = False
    RUNTIME_ONLY = OnePerCPU.RUNTIME_ONLY | {"seeds", "breaks", "fails"}

    async def generate(self, prompt, sampling) -> Answer:
        if sampling.seed in self.seeds:
            if self.fails:
                raise RuntimeError("poisoned request")
            if self.breaks:
                raise EngineError("poisoned engine")
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().generate(prompt, sampling)


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class HeldUp(OnePerCPU):
    """One that waits with the answers to these seeds only."""

    seeds: list[int]
    RUNTIME_ONLY = OnePerCPU.RUNTIME_ONLY | {"seeds"}

    def waits(self, sampling):
        return sampling.seed in self.seeds


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Ranks(StagedSimulated):
    """One of four GPUs in two parts, with a Ray actor on each GPU, as vLLM has: no answer without any of them."""

    def placement(self, on_gpu, replicas_beside):
        return Placement(gpus=4, cpus=1, nodes=2)

    async def start(self):
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        group = ray.util.get_current_placement_group()
        places = [PlacementGroupSchedulingStrategy(group, bundle) for bundle in range(4)]
        make = ray.remote(_Rank).options
        self._ranks = [make(num_gpus=1, num_cpus=0, scheduling_strategy=place).remote() for place in places]
        self._end = asyncio.gather(*(rank.live.remote() for rank in self._ranks))
        await super().start()

    async def note(self):
        """The nodes of the worker and of the ranks."""
        import ray

        nodes = await asyncio.gather(*(rank.node.remote() for rank in self._ranks))
        return {"node": ray.get_runtime_context().get_node_id(), "ranks": nodes}

    async def generate(self, prompt, sampling) -> Answer:
        answer = asyncio.create_task(super().generate(prompt, sampling))
        await asyncio.wait([answer, self._end], return_when=asyncio.FIRST_COMPLETED)
        if self._end.done():
            raise EngineError("a rank is lost")
        return answer.result()


class _Rank:
    async def node(self):
        import ray

        return ray.get_runtime_context().get_node_id()

    async def live(self):
        await asyncio.sleep(3600)
