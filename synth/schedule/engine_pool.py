"""The engines of the models beside main, kept alive for as long as a run takes, and who is told of them.

An engine that is lost is replaced. Those that can't be started are given up, and with the last one of a model the run
ends. Where the records are, the scheduler knows: here are engines only.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from synth.config import Config
from synth.engines import EngineError, Placement, Unusable
from synth.models import ServedModel
from synth.report.progress import ModelAtWork
from synth.schedule.background import beside
from synth.schedule.engine_process import EngineCounters, EngineProcess, Facts
from synth.schedule.placed_process import PlacedProcess
from synth.schedule.worker_handle import WorkerLost

log = logging.getLogger(__name__)

MAX_FAILURES = 5  # in a row, of engines that answered nothing: more than a request that is poison takes
LASTED_S = 600.0  # of an engine that has been of use, whether or not it was heard of
PAUSE_S = 1.0
ANSWER_S = 5.0
CALLS = 100_000  # under way at once: a request waits in the engine's own queue


class EnginePool:
    """`replicas` engines of one model. `spawn` makes the n-th process, `on_change` hears of all that come and go."""

    def __init__(
        self,
        model: str,
        replicas: int,
        spawn: Callable[[int], PlacedProcess],
        timeout_s: float,
        on_change: Callable[[], None],
    ):
        self.model, self.replicas = model, replicas
        self._spawn, self._timeout_s, self._on_change = spawn, timeout_s, on_change
        self._numbers = itertools.count()
        self.held: set[int] = set()  # by engines that run, or are asked for
        self.running: dict[int, PlacedProcess] = {}
        self.facts: Facts | None = None
        self._given_up = 0
        self._done: list[EngineCounters] = []  # by engines that are gone
        self._last: dict[int, EngineCounters] = {}

    async def run(self) -> None:
        """Never returns. Raises EngineError when the last engine is given up."""
        await beside(asyncio.Event().wait(), *(self._keep_alive() for _ in range(self.replicas)))

    async def _keep_alive(self) -> None:
        failures, ever_ran = 0, False
        while True:
            number = next(self._numbers)
            process = self._spawn(number)
            self.held.add(number)
            began = time.monotonic()
            try:
                await self._serve(number, process)
            except (WorkerLost, EngineError) as error:
                last = self._last.get(number)
                answered = last is not None and last.prompt_tokens + last.completion_tokens > 0
                lasted = time.monotonic() - began > LASTED_S
                ever_ran, failures = ever_ran or number in self.running, 1 if answered or lasted else failures + 1
                final = isinstance(error, Unusable) and not ever_ran
                if failures >= MAX_FAILURES or final:
                    self._given_up += 1
                    if self._given_up == self.replicas:
                        raise EngineError(f"models.{self.model}: {error}") from error
                    log.warning("an engine of %s is given up: %s", self.model, error)
                    return
                log.warning("engine %d of %s: %s; another one starts", number, self.model, error)
            finally:
                self.held.discard(number)
                if self.running.pop(number, None):
                    self._on_change()
                if number in self._last:
                    self._done.append(self._last.pop(number))
                await process.kill()
            await asyncio.sleep(PAUSE_S * 2 ** (failures - 1))

    async def _serve(self, number: int, process: PlacedProcess) -> None:
        """Raises WorkerLost or EngineError when it can't start, or has ended."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await process.make(self._timeout_s)
                self.facts = await process.call("start")
        except TimeoutError:
            limit = self._timeout_s
            raise WorkerLost(f"it took more than cluster.start_timeout_s={limit:g} to start") from None
        self.running[number] = process
        self._on_change()
        await process.call("serve")

    async def at_work(self) -> ModelAtWork:
        """What its engines are at; what those have done that are gone counts too."""
        await asyncio.gather(*(self._ask(number, process) for number, process in self.running.items()))
        here, told = list(self._last.values()), [*self._done, *self._last.values()]
        return ModelAtWork(
            engines_ready=len(self.running),
            engines=self.replicas - self._given_up,
            running=sum(one.load.running for one in here),
            waiting=sum(one.load.waiting for one in here),
            prompt_tokens=sum(one.prompt_tokens for one in told),
            completion_tokens=sum(one.completion_tokens for one in told),
            engine_seconds=sum(one.engine_seconds for one in told),
            cached_tokens=sum(one.cached_tokens for one in told),
            paused_s=max((one.load.paused_s for one in here), default=0.0),
        )

    async def _ask(self, number: int, process: PlacedProcess) -> None:
        with suppress(WorkerLost, EngineError, TimeoutError):
            counters = await asyncio.wait_for(process.call("counters"), ANSWER_S)
            if number in self.running:
                self._last[number] = counters


class Pools:
    """All of a run's. Who `follow`s is told of the engines, as they are and whenever they change."""

    def __init__(self, config: Config, run_dir: Path, placements: Mapping[str, tuple[int, Placement]]):
        self._followers: set[PlacedProcess] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._news = itertools.count()
        self.pools = {name: self._pool(config, run_dir, one, *placements[name]) for name, one in config.pools.items()}
        self.gpus = {name: placement.gpus for name, (_, placement) in placements.items()}

    def _pool(
        self, config: Config, run_dir: Path, served: ServedModel, replicas: int, placement: Placement
    ) -> EnginePool:
        def spawn(number: int) -> PlacedProcess:
            given = (config.resolved, str(run_dir), served.name, number)
            return PlacedProcess(EngineProcess, given, placement, CALLS)

        timeout_s = config.cluster.start_timeout_s
        return EnginePool(served.name, replicas, spawn, timeout_s, lambda: self._tell_all(served.name))

    async def run(self) -> None:
        """Never returns while there are any. Raises EngineError when a model has no engine any more."""
        await beside(asyncio.Event().wait(), *(pool.run() for pool in self.pools.values()))

    def follow(self, process: PlacedProcess) -> None:
        self._followers.add(process)
        for model in self.pools:
            self._tell(process, model)

    def unfollow(self, process: PlacedProcess) -> None:
        self._followers.discard(process)

    def _tell_all(self, model: str) -> None:
        for process in self._followers:
            self._tell(process, model)

    def _tell(self, process: PlacedProcess, model: str) -> None:
        pool = self.pools[model]
        if pool.facts is None:
            return
        actors: dict[int, Any] = {number: one.actor for number, one in pool.running.items()}
        version = next(self._news)

        async def tell() -> None:
            with suppress(WorkerLost, EngineError):  # its end is told elsewhere
                await process.call("tell_engines", model, actors, pool.facts, version)

        telling = asyncio.create_task(tell())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
