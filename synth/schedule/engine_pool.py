"""Keeps the engines of the models beside main alive during a run, and updates the workers that call them.

A lost engine is replaced. An engine that can't start is given up, and the run ends with the last engine of a model.
The number of engines may change during the run: an engine that is removed gets no new requests and ends once it has
answered, or after DRAIN_S.
Engines only; the scheduler knows records.
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
from synth.report.snapshot import ModelAtWork, of_caches
from synth.schedule.background import beside
from synth.schedule.capacity import Capacity
from synth.schedule.engine_process import EngineCounters, EngineProcess, Facts
from synth.schedule.placed_process import PlacedProcess
from synth.schedule.worker_handle import WorkerLost

log = logging.getLogger(__name__)

MAX_FAILURES = 5  # in a row, without a completed request: more than a poison request needs
LASTED_S = 600.0  # an engine that ran so long counts as useful, whatever its counters say
PAUSE_S = 1.0
ANSWER_S = 5.0
DRAIN_S = 20.0  # for a removed engine to finish its requests; other engines answer the rest
DRAIN_INTERVAL_S = 0.5
CALLS = 100_000  # running at once: requests wait in the engine's own queue


Nodes = Counter[str | None]  # engines per node; None: Ray chooses the node


@dataclass(eq=False)
class _Place:
    """A place for an engine on this node. `number` is that of its current engine."""

    node: str | None
    number: int | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class EnginePool:
    """The engines of one model `on` these nodes. `spawn` makes process n on a node; `on_change` is called when an
    engine starts or ends."""

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
        self.reserved: set[int] = set()  # numbers of engines that run or are starting
        self.running: dict[int, PlacedProcess] = {}
        self.facts: Facts | None = None
        self._given_up: Nodes = Counter()
        self._done: list[EngineCounters] = []  # last counters of ended engines
        self._last: dict[int, EngineCounters] = {}

    @property
    def wanted(self) -> int:
        """The target number of engines."""
        return sum((self._on - self._given_up).values())

    def resize(self, on: Nodes) -> None:
        """Set the target number of engines per node."""
        if on != self._on:
            self._given_up &= on
            self._on = Counter(on)
            self._resized.set()

    async def run(self) -> None:
        """Keep the engines running; never returns. Raises EngineError when the last engine is given up."""
        try:
            while True:
                if self._resized.is_set():
                    self._resized.clear()
                    self._staff()
                resized = asyncio.create_task(self._resized.wait())
                kept = [place.task for place in self._places if place.task]
                try:
                    await asyncio.wait([resized, *kept], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    resized.cancel()
                self._give_up([place for place in self._places if place.task and place.task.done()])
        finally:
            tasks = [*(place.task for place in self._places if place.task), *self._leaving]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _staff(self) -> None:
        """Start an engine for each place that lacks one; drain the engines of removed places."""
        there: Nodes = Counter(place.node for place in self._places)
        wanted = self._on - self._given_up
        for node in (there - wanted).elements():
            # An engine that is still starting has no requests to drain.
            leaving = min(
                (place for place in self._places if place.node == node), key=lambda one: one.number in self.running
            )
            self._places.remove(leaving)
            task = asyncio.create_task(self._leave(leaving))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        for node in (wanted - there).elements():
            place = _Place(node)
            place.task = asyncio.create_task(self._keep_alive(place))
            self._places.append(place)

    def _give_up(self, ended: list[_Place]) -> None:
        """Give up these places. Raises EngineError for the last one."""
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
        """Send it no more requests; end it once it has answered, or after DRAIN_S: others answer the rest."""
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
                    await asyncio.sleep(DRAIN_INTERVAL_S)  # for callers to see the leaving reply
        finally:
            place.task.cancel()
            await asyncio.gather(place.task, return_exceptions=True)

    async def _keep_alive(self, place: _Place) -> None:
        """Raises WorkerLost or EngineError when the place is given up."""
        failures, ever_ran = 0, False
        while True:
            number = place.number = next(self._numbers)
            process = self._spawn(number, place.node)
            self.reserved.add(number)
            began = asyncio.get_running_loop().time()
            try:
                await self._serve(number, process)
            except asyncio.CancelledError:
                await self._ask(number, process)  # its final counters
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
                log.warning("engine %d of %s: %s; starting another one", number, self.model, error)
            finally:
                self.reserved.discard(number)
                if self.running.pop(number, None):
                    self._on_change()
                if number in self._last:
                    self._done.append(self._last.pop(number))
                await process.kill()
            await asyncio.sleep(PAUSE_S * 2 ** (failures - 1))

    async def _serve(self, number: int, process: PlacedProcess) -> None:
        """Raises WorkerLost or EngineError when the engine can't start or has ended."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timeout_s):
                await process.make(self._timeout_s)
                self.facts = await process.call("start")
        except TimeoutError:
            limit = self._timeout_s
            raise WorkerLost(f"the engine took more than cluster.start_timeout_s={limit:g} to start") from None
        self.slowest_start_s = max(self.slowest_start_s, asyncio.get_running_loop().time() - began)
        self.running[number] = process
        self._on_change()
        await process.call("serve")

    async def at_work(self) -> ModelAtWork:
        """Current stats of the model, ended engines included."""
        await asyncio.gather(*(self._ask(number, process) for number, process in self.running.items()))
        return self.last_stats()

    def last_stats(self) -> ModelAtWork:
        """The same from the last answers, without asking the engines."""
        here, counted = list(self._last.values()), [*self._done, *self._last.values()]
        return ModelAtWork(
            engines_ready=len(self.running),
            engines=self.wanted,
            running=sum(counters.load.running for counters in here),
            waiting=sum(counters.load.waiting for counters in here),
            prompt_tokens=sum(counters.prompt_tokens for counters in counted),
            completion_tokens=sum(counters.completion_tokens for counters in counted),
            engine_seconds=sum(counters.engine_seconds for counters in counted),
            cached_tokens=sum(counters.cached_tokens for counters in counted),
            paused_s=max((counters.load.paused_s for counters in here), default=0.0),
            form_seconds=sum(counters.form_seconds for counters in counted),
            **of_caches([counters.load for counters in counted], [counters.load for counters in here]),
        )

    async def _ask(self, number: int, process: PlacedProcess) -> bool:
        """Update the engine's counters. Returns whether it has requests."""
        with suppress(WorkerLost, EngineError, TimeoutError):
            counters: EngineCounters = await asyncio.wait_for(process.call("counters"), ANSWER_S)
            if number in self.reserved:
                self._last[number] = counters
            return counters.load.running + counters.load.waiting > 0
        return True


class Pools:
    """All engine pools of a run. A process that `follow`s gets the engines of each model now and after each change."""

    def __init__(self, config: Config, run_dir: Path, capacity: Capacity):
        self._workers = max(1, capacity.replicas)
        self._followers: set[PlacedProcess] = set()
        self._updating: set[asyncio.Task[None]] = set()
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
            served.name, capacity.nodes(served.name), spawn, timeout_s, lambda: self._update_all(served.name)
        )

    async def run(self) -> None:
        """Keep all pools running; never returns if there are any. Raises EngineError when a model has no engine."""
        await beside(asyncio.Event().wait(), *(pool.run() for pool in self.pools.values()))

    def resize(self, capacity: Capacity) -> None:
        """Set the target number of engines of each model, and of workers, which is main's."""
        self._workers = max(1, capacity.replicas)
        for name, pool in self.pools.items():
            pool.resize(capacity.nodes(name))
            self._update_all(name)

    @property
    def slowest_start_s(self) -> float:
        return max((pool.slowest_start_s for pool in self.pools.values()), default=0.0)

    def follow(self, process: PlacedProcess) -> None:
        self._followers.add(process)
        for model in self.pools:
            self._update(process, model)

    def unfollow(self, process: PlacedProcess) -> None:
        self._followers.discard(process)

    def _update_all(self, model: str) -> None:
        for process in self._followers:
            self._update(process, model)

    def _update(self, process: PlacedProcess, model: str) -> None:
        pool = self.pools[model]
        if pool.facts is None:
            return
        actors: dict[int, Any] = {number: one.actor for number, one in pool.running.items()}
        version = next(self._news)

        async def update() -> None:
            with suppress(WorkerLost, EngineError):  # its end is handled elsewhere
                await process.call("update_engines", model, actors, pool.facts, version, self._workers)

        updating = asyncio.create_task(update())
        self._updating.add(updating)
        updating.add_done_callback(self._updating.discard)
