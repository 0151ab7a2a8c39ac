"""The engines of one model as a worker asks them: each request goes to the one with the least to do.

Promises: an engine that dies loses no record of those who asked it. Its requests go to another engine, or wait for the
next. A request over which engines die is made alone, and is rejected as `poison` when two have died of it so.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from synth.engines import Answer, EngineError, Form, Pooled, Prompt, Sampling, Task
from synth.records import Rejection
from synth.schedule.engine_process import Facts, Failed, Reply
from synth.schedule.worker_handle import WorkerLost

SUSPICIOUS = 3  # engines that were lost while they had a request
ASIDE_S = 5.0
MORTAL = 2  # engines that were lost while they had nothing else


class Asked(Protocol):
    """An engine, wherever it runs. Raises WorkerLost or EngineError when it is gone."""

    async def ask(self, prompt: Prompt, sampling: Sampling | None, granted: int | None = None) -> Reply: ...

    async def alone(self) -> int: ...


@dataclass
class _Member:
    """`own` are this worker's requests to it, `others` those of other workers as it said last. One that seemed lost is
    not asked before `aside_until`, on the clock of the event loop."""

    engine: Asked
    own: int = 0
    others: int = 0
    aside_until: float = 0.0

    @property
    def queue(self) -> int:
        return self.own + self.others


class PooledEngine:
    """A Generator or a Pooler, as its engines are. It is told of them; before there was any, `ready` waits."""

    holds: frozenset[Form] = frozenset()
    max_model_len = 0
    concurrency = 0  # of each engine
    task: Task | None = None

    def __init__(self, model: str):
        self._model = model
        self._members: dict[int, _Member] = {}
        self._changed = asyncio.Event()
        self._version = -1

    def tell(self, engines: Mapping[int, Asked], facts: Facts, version: int) -> bool:
        """All engines that there are, as of the n-th news of them; those that come too late are not taken. A number is
        never given to another one."""
        if version < self._version:
            return False
        self.max_model_len, self.holds, self.task = facts.max_model_len, facts.holds, facts.task
        self.concurrency = facts.concurrency
        self._version = version
        self._members = {number: self._members.get(number) or _Member(engine) for number, engine in engines.items()}
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    async def ready(self) -> None:
        while self._version < 0:
            await self._changed.wait()

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Answer:
        """Raises Rejection for what engines die of, ValueError for what they refuse, RuntimeError for what failed."""
        answer: Answer = await self._ask(prompt, sampling)
        return answer

    async def pool(self, prompt: Sequence[int]) -> Pooled:
        """Raises the same."""
        pooled: Pooled = await self._ask(prompt, None)
        return pooled

    async def _ask(self, prompt: Prompt, sampling: Sampling | None) -> Any:
        lost = died = 0
        while True:
            member = await self._least_busy()
            member.own += 1
            has_it_alone = False
            try:
                granted = await member.engine.alone() if lost >= SUSPICIOUS else None
                has_it_alone = granted is not None
                reply = await member.engine.ask(prompt, sampling, granted)
            except (WorkerLost, EngineError) as error:
                # It may only seem so: where it lives on, it is asked again after a while.
                member.aside_until = asyncio.get_running_loop().time() + ASIDE_S
                lost, died = lost + 1, died + has_it_alone
                if died >= MORTAL:
                    why = f"{died} engines of {self._model} died while they had this request alone: {error}"
                    raise Rejection("poison", why) from error
                continue
            finally:
                member.own -= 1
            member.others = max(0, reply.requests - member.own)
            if reply.answer is None:
                if reply.leaving:
                    member.aside_until = asyncio.get_running_loop().time() + ASIDE_S
                continue
            if isinstance(reply.answer, Failed):
                raise (ValueError if reply.answer.refused else RuntimeError)(reply.answer.why)
            return reply.answer

    async def _least_busy(self) -> _Member:
        while True:
            now = asyncio.get_running_loop().time()
            ready = [one for one in self._members.values() if one.aside_until <= now]
            if ready:
                return min(ready, key=lambda one: one.queue)
            back = min((one.aside_until for one in self._members.values()), default=math.inf)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if back == math.inf else back - now)
