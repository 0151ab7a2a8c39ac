"""The engines of the models beside main, kept alive for as long as a run takes, and who is told of them.

An engine that is lost is replaced. Those that can't be started are given up, and with the last one of a model the run
ends. There may be more or fewer as it goes: one that has to leave is asked nothing more, and ends when it has
answered, or soon.
Where the records are, the scheduler knows: here are engines only.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth.configuration.config import Config
from synth.configuration.named_models import ServedModel
from synth.engines import EngineError, Unusable
from synth.report.progress import ModelAtWork, of_caches
from synth.schedule.background import beside
from synth.schedule.capacity import Capacity
from synth.schedule.engine_process import EngineCounters, EngineProcess, Facts
from synth.schedule.placed_process import PlacedProcess
from synth.schedule.worker_handle import WorkerLost

log = logging.getLogger(__name__)

MAX_FAILURES = 5  # in a row, of engines that answered nothing: more than a request that is poison takes
LASTED_S = 600.0  # of an engine that has been of use, whether or not it was heard of
PAUSE_S = 1.0
ANSWER_S = 5.0
DRAIN_S = 20.0  # for an engine that leaves to answer what it has; others answer the rest
DRAIN_INTERVAL_S = 0.5
CALLS = 100_000  # under way at once: a request waits in the engine's own queue


Nodes = Counter[str | None]  # how many engines on each; on None: Ray chooses


@dataclass(eq=False)
class _Place:
    """Where there is to be an engine: on this node. `number` is that of the engine it has by now."""

    node: str | None
    number: int | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class EnginePool:
    """Engines of one model `on` these nodes. `spawn` makes the n-th process, on a node; `on_change` hears of all that
    come and go."""

    def __init__(
        self,
        model: str,
        on: Nodes,
        spawn: Callable[[int, str | None], PlacedProcess],
        timeout_s: float,
        on_change: Callable[[], None],
    ):
        self.model = model
        self._on = Counter(on)
        self._spawn, self._timeout_s, self._on_change = spawn, timeout_s, on_change
        self._numbers = itertools.count()
        self._places: list[_Place] = []
        self._resized = asyncio.Event()
        self._resized.set()
        self._leaving: set[asyncio.Task[None]] = set()
        self.slowest_start_s = 0.0
        self.reserved: set[int] = set()  # by engines that run, or are asked for
        self.running: dict[int, PlacedProcess] = {}
        self.facts: Facts | None = None
        self._given_up: Nodes = Counter()
        self._done: list[EngineCounters] = []  # by engines that are gone
        self._last: dict[int, EngineCounters] = {}

    @property
    def wanted(self) -> int:
        """How many engines there are to be."""
        return sum((self._on - self._given_up).values())

    def resize(self, on: Nodes) -> None:
        """So many engines on each node from now on."""
        if on != self._on:
            self._given_up &= on
            self._on = Counter(on)
            self._resized.set()

    async def run(self) -> None:
        """Never returns. Raises EngineError when the last engine is given up."""
        try:
            while True:
                if self._resized.is_set():
                    self._resized.clear()
                    self._staff()
                resized = asyncio.create_task(self._resized.wait())
                kept = [one.task for one in self._places if one.task]
                try:
                    await asyncio.wait([resized, *kept], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    resized.cancel()
                self._give_up([one for one in self._places if one.task and one.task.done()])
        finally:
            tasks = [*(one.task for one in self._places if one.task), *self._leaving]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _staff(self) -> None:
        """An engine for each place that has to have one, and none for the others."""
        there: Nodes = Counter(one.node for one in self._places)
        wanted = self._on - self._given_up
        for node in (there - wanted).elements():
            # One that does not run yet has nothing to answer.
            leaving = min((one for one in self._places if one.node == node), key=lambda one: one.number in self.running)
            self._places.remove(leaving)
            task = asyncio.create_task(self._leave(leaving))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        for node in (wanted - there).elements():
            place = _Place(node)
            place.task = asyncio.create_task(self._keep_alive(place))
            self._places.append(place)

    def _give_up(self, ended: list[_Place]) -> None:
        """These places can't have an engine. Raises EngineError for the last one."""
        for place in ended:
            assert place.task is not None
            self._places.remove(place)
            self._given_up[place.node] += 1
            error = place.task.exception()
            if not isinstance(error, WorkerLost | EngineError):
                raise error or RuntimeError("an engine's place has ended")
            if not self._places:
                raise EngineError(f"models.{self.model}: {error}") from error
            log.warning("an engine of %s is given up: %s", self.model, error)

    async def _leave(self, place: _Place) -> None:
        """Asked nothing more, it ends when it has answered what it has, or soon: then others answer the rest."""
        number = place.number
        assert place.task is not None
        try:
            if number is not None and (process := self.running.pop(number, None)):
                self._on_change()
                with suppress(TimeoutError):
                    async with asyncio.timeout(DRAIN_S):
                        while await self._ask(number, process) and not place.task.done():
                            await asyncio.sleep(DRAIN_INTERVAL_S)
                with suppress(WorkerLost, EngineError, TimeoutError):
                    await asyncio.wait_for(process.call("leave"), ANSWER_S)
                    await asyncio.sleep(DRAIN_INTERVAL_S)  # for those who wait to hear of it
        finally:
            place.task.cancel()
            await asyncio.gather(place.task, return_exceptions=True)

    async def _keep_alive(self, place: _Place) -> None:
        """Raises WorkerLost or EngineError when it is given up."""
        failures, ever_ran = 0, False
        while True:
            number = place.number = next(self._numbers)
            process = self._spawn(number, place.node)
            self.reserved.add(number)
            began = asyncio.get_running_loop().time()
            try:
                await self._serve(number, process)
            except asyncio.CancelledError:
                await self._ask(number, process)  # what it has done in all
                raise
            except (WorkerLost, EngineError) as error:
                if place not in self._places:
                    return
                last = self._last.get(number)
                answered = last is not None and last.prompt_tokens + last.completion_tokens > 0
                lasted = asyncio.get_running_loop().time() - began > LASTED_S
                ever_ran, failures = ever_ran or number in self.running, 1 if answered or lasted else failures + 1
                final = isinstance(error, Unusable) and not ever_ran
                if failures >= MAX_FAILURES or final:
                    raise
                log.warning("engine %d of %s: %s; another one starts", number, self.model, error)
            finally:
                self.reserved.discard(number)
                if self.running.pop(number, None):
                    self._on_change()
                if number in self._last:
                    self._done.append(self._last.pop(number))
                await process.kill()
            await asyncio.sleep(PAUSE_S * 2 ** (failures - 1))

    async def _serve(self, number: int, process: PlacedProcess) -> None:
        """Raises WorkerLost or EngineError when it can't start, or has ended."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout_s):
                await process.make(self._timeout_s)
                self.facts = await process.call("start")
        except TimeoutError:
            limit = self._timeout_s
            raise WorkerLost(f"it took more than cluster.start_timeout_s={limit:g} to start") from None
        self.slowest_start_s = max(self.slowest_start_s, asyncio.get_running_loop().time() - began)
        self.running[number] = process
        self._on_change()
        await process.call("serve")

    async def at_work(self) -> ModelAtWork:
        """What its engines are at; what those have done that are gone counts too."""
        await asyncio.gather(*(self._ask(number, process) for number, process in self.running.items()))
        return self.told()

    def told(self) -> ModelAtWork:
        """The same, as they said it last."""
        here, told = list(self._last.values()), [*self._done, *self._last.values()]
        return ModelAtWork(
            engines_ready=len(self.running),
            engines=self.wanted,
            running=sum(one.load.running for one in here),
            waiting=sum(one.load.waiting for one in here),
            prompt_tokens=sum(one.prompt_tokens for one in told),
            completion_tokens=sum(one.completion_tokens for one in told),
            engine_seconds=sum(one.engine_seconds for one in told),
            cached_tokens=sum(one.cached_tokens for one in told),
            paused_s=max((one.load.paused_s for one in here), default=0.0),
            form_seconds=sum(one.form_seconds for one in told),
            **of_caches([one.load for one in told], [one.load for one in here]),
        )

    async def _ask(self, number: int, process: PlacedProcess) -> bool:
        """Whether it says that it has requests."""
        with suppress(WorkerLost, EngineError, TimeoutError):
            counters: EngineCounters = await asyncio.wait_for(process.call("counters"), ANSWER_S)
            if number in self.reserved:
                self._last[number] = counters
            return counters.load.running + counters.load.waiting > 0
        return True


class Pools:
    """All of a run's. Who `follow`s is told of the engines, as they are and whenever they change."""

    def __init__(self, config: Config, run_dir: Path, capacity: Capacity):
        self._workers = max(1, capacity.replicas)
        self._followers: set[PlacedProcess] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._news = itertools.count()
        self.gpus = {name: placement.gpus for name, (_, placement) in capacity.others.items()}
        self.pools = {name: self._pool(config, run_dir, one, capacity) for name, one in config.pools.items()}

    def _pool(self, config: Config, run_dir: Path, served: ServedModel, capacity: Capacity) -> EnginePool:
        _, placement = capacity.others[served.name]

        def spawn(number: int, node: str | None) -> PlacedProcess:
            given = (config.resolved["models"][served.name], str(run_dir), served.name, number)
            return PlacedProcess(EngineProcess, given, placement, CALLS, node)

        timeout_s = config.cluster.start_timeout_s
        return EnginePool(
            served.name, capacity.nodes(served.name), spawn, timeout_s, lambda: self._tell_all(served.name)
        )

    async def run(self) -> None:
        """Never returns while there are any. Raises EngineError when a model has no engine any more."""
        await beside(asyncio.Event().wait(), *(pool.run() for pool in self.pools.values()))

    def resize(self, capacity: Capacity) -> None:
        """So many engines of each model, and of main, each of which has a worker, from now on."""
        self._workers = max(1, capacity.replicas)
        for name, pool in self.pools.items():
            pool.resize(capacity.nodes(name))
            self._tell_all(name)

    @property
    def slowest_start_s(self) -> float:
        return max((pool.slowest_start_s for pool in self.pools.values()), default=0.0)

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
                await process.call("tell_engines", model, actors, pool.facts, version, self._workers)

        telling = asyncio.create_task(tell())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
