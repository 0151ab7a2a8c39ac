"""A worker's client of the engines of one model: each request goes to the engine with the shortest queue.

Promises: an engine that dies loses no record. Its requests go to another engine, or wait for the next one. A request
that several engines died of is run alone, and is rejected as `poison` when two engines have died of it alone.
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

SUSPICIOUS = 3  # engines lost while they ran a request
ASIDE_S = 5.0
MORTAL = 2  # engines lost while they ran nothing else


class Asked(Protocol):
    """An engine in another process. Raises WorkerLost or EngineError when it is gone."""

    async def ask(self, prompt: Prompt, sampling: Sampling | None, granted: int | None = None) -> Reply: ...

    async def alone(self) -> int: ...


@dataclass
class _Member:
    """`own` is the number of this worker's requests, `others` that of other workers in its last reply. An engine that
    seemed lost gets no requests before `aside_until`, on the event loop's clock."""

    engine: Asked
    own: int = 0
    others: int = 0
    aside_until: float = 0.0

    @property
    def queue(self) -> int:
        return self.own + self.others


class PooledEngine:
    """A Generator or a Pooler over the current engines. `ready` waits for the first of them."""

    holds: frozenset[Form] = frozenset()
    max_model_len = 0
    concurrency = 0  # of each engine
    task: Task | None = None

    def __init__(self, model: str):
        self._model = model
        self._members: dict[int, _Member] = {}
        self._changed = asyncio.Event()
        self._version = -1

    def update(self, engines: Mapping[int, Asked], facts: Facts, version: int) -> bool:
        """Set the engines, by number. An update with an older version is ignored. Numbers are never reused."""
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
        """Raises Rejection if engines die of it, ValueError if they refuse it, RuntimeError if it fails."""
        answer: Answer = await self._ask(prompt, sampling)
        return answer

    async def pool(self, prompt: Sequence[int]) -> Pooled:
        """Raises the same errors."""
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
                # It may only seem so: if it is alive it is asked again later.
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
            ready = [member for member in self._members.values() if member.aside_until <= now]
            if ready:
                return min(ready, key=lambda one: one.queue)
            back = min((member.aside_until for member in self._members.values()), default=math.inf)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if back == math.inf else back - now)
