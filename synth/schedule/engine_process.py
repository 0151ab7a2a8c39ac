"""An engine in a process of its own, shared by all workers of a run: it serves a model beside main.

When the engine breaks, `serve` raises and the process is replaced (engine_pool.py). A request that has to run alone
waits for the running ones, and later ones wait for it.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.configuration.named_models import engine_from
from synth.engines import Answer, Engine, EngineError, EngineStats, Form, Pooled, PoolingEngine, Prompt, Sampling, Task
from synth.engines.repetition import LoopFinder
from synth.engines.start import start
from synth.schedule.placed_process import Log, call, lead_process_group
from synth.schedule.usage import UsageMeter
from synth.storage.run_folder import RunFolder

GRANTED_S = 60.0  # an engine is reserved so long for a request that has to run alone, in case it never arrives


@dataclass(frozen=True)
class Facts:
    """Facts of a started engine. `task` is that of a pooling engine; `concurrency` 0 means the configured one."""

    max_model_len: int
    holds: frozenset[Form] = frozenset()
    task: Task | None = None
    concurrency: int = 0


@dataclass(frozen=True)
class Failed:
    """A request that failed while the engine survived. `refused`: trying again would fail too."""

    why: str
    refused: bool


@dataclass(frozen=True)
class Reply:
    """`requests` is the number of other requests the engine has. There is no answer if the reservation expired, or if
    the engine is `leaving`: it is not lost, and must not be asked again."""

    answer: Answer | Pooled | Failed | None
    requests: int
    leaving: bool = False


@dataclass
class EngineCounters:
    """Totals since the engine's start."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    engine_seconds: float
    load: EngineStats
    form_seconds: float = 0.0


class Turnstile:
    """A read-write lock: any number of requests at once, or one alone, which goes before later ones."""

    def __init__(self) -> None:
        self.inside = 0
        self._alone = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def among_others(self) -> AsyncIterator[None]:
        async with self._alone:
            self._enter()
        try:
            yield
        finally:
            self._leave()

    async def close(self) -> None:
        """Returns when no request runs; new ones wait for `open`."""
        await self._alone.acquire()
        try:
            await self._empty.wait()
        except BaseException:
            self._alone.release()
            raise

    def open(self) -> None:
        self._alone.release()

    def _enter(self) -> None:
        self.inside += 1
        self._empty.clear()

    def _leave(self) -> None:
        self.inside -= 1
        if not self.inside:
            self._empty.set()


class EngineProcess:
    """The Ray actor that runs the engine of `model`, instantiated here from its configuration."""

    def __init__(self, keys: Mapping[str, Any], run_dir: str, model: str, number: int):
        lead_process_group()
        self._log = Log(RunFolder(Path(run_dir)).engine_log(model, number))
        self._engine: Engine | PoolingEngine = engine_from(keys, model)
        self._turnstile = Turnstile()
        self._granted: dict[int, asyncio.TimerHandle] = {}
        self._grants = itertools.count()
        self._broken: asyncio.Future[None] | None = None
        self._leaving = False
        self._answering: set[asyncio.Task[Reply]] = set()

    async def start(self) -> Facts:
        """Load the model. Raises EngineError; Unusable if another try would fail the same way."""
        try:
            await start(self._engine)
        except EngineError as error:
            raise self._log.explained(error) from error
        self._broken = asyncio.get_running_loop().create_future()
        self._meter = UsageMeter(self._engine)
        return Facts(
            self._engine.max_model_len, self._meter.holds, self._meter.task, concurrency=self._engine.concurrency
        )

    async def serve(self) -> None:
        """Raises EngineError when the engine breaks; never returns."""
        assert self._broken is not None
        await self._broken

    async def ask(self, prompt: Prompt, sampling: Sampling | None, granted: int | None = None) -> Reply:
        """A prompt without sampling is for a pooling engine. With the number from `alone` as `granted` it runs alone.
        Raises EngineError."""
        if granted is None:
            async with self._turnstile.among_others():
                return await self._ask(prompt, sampling)
        if (timer := self._granted.pop(granted, None)) is None:
            return Reply(None, self._turnstile.inside)
        timer.cancel()
        try:
            return await self._ask(prompt, sampling)
        finally:
            self._turnstile.open()

    async def alone(self) -> int:
        """Returns a number once no request runs; the engine stays reserved for the request with this number."""
        await self._turnstile.close()
        number = next(self._grants)
        self._granted[number] = asyncio.get_running_loop().call_later(GRANTED_S, self._take_back, number)
        return number

    def _take_back(self, granted: int) -> None:
        del self._granted[granted]
        self._turnstile.open()

    async def leave(self) -> None:
        """Answer no more requests: all, also running ones, get a reply that says to ask another engine."""
        self._leaving = True
        for one in self._answering:
            one.cancel()

    async def _ask(self, prompt: Any, sampling: Sampling | None) -> Reply:
        if self._leaving:
            return Reply(None, 0, leaving=True)
        answering = asyncio.ensure_future(self._answer(prompt, sampling))
        self._answering.add(answering)
        try:
            return await answering
        except asyncio.CancelledError:
            if not (self._leaving and answering.cancelled()):
                raise
            return Reply(None, 0, leaving=True)
        finally:
            self._answering.discard(answering)

    async def _answer(self, prompt: Any, sampling: Sampling | None) -> Reply:
        answer: Answer | Pooled | Failed
        try:
            if sampling is None:
                answer = await self._meter.pool(prompt)
            else:
                loops = LoopFinder.watching(sampling.repetition_detection)
                answer = await self._meter.generate(prompt, sampling, set(), loops)
        except EngineError as error:
            if self._broken and not self._broken.done():
                self._broken.set_exception(EngineError(str(error)))
            raise
        except Exception as error:
            answer = Failed(str(error) or type(error).__name__, isinstance(error, ValueError))
        return Reply(answer, max(0, self._turnstile.inside - 1))

    async def counters(self) -> EngineCounters:
        one = self._meter
        return EngineCounters(
            one.prompt_tokens,
            one.cached_tokens,
            one.completion_tokens,
            one.engine_seconds,
            self._engine.stats(),
            one.form_seconds,
        )


class RayEngine:
    """An engine process as workers call it. Raises WorkerLost if it is gone, EngineError if it is broken."""

    def __init__(self, actor: Any):
        self._actor = actor

    async def ask(self, prompt: Prompt, sampling: Sampling | None, granted: int | None = None) -> Reply:
        reply: Reply = await call(self._actor, "ask", prompt, sampling, granted)
        return reply

    async def alone(self) -> int:
        granted: int = await call(self._actor, "alone")
        return granted
