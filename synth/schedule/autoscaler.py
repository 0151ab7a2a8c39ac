"""How many engines a run has, as its nodes come and go and as its models turn out to need.

Nodes: cluster.py looks for them. What suits the models: balance.py says it. Where engines are: places.py. Here all of
that meets those who start and stop engines: the scheduler for main's, each of which has a worker, the pools for the
others'.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

from synth.schedule.balance import Balance, Observed
from synth.schedule.capacity import Capacity
from synth.schedule.scheduler import Scheduler
from synth.steps.llm import MAIN

NODES_INTERVAL_S = 2.0
BALANCE_INTERVAL_S = 2.0


class Engines(Protocol):
    """Those of the models beside main: engine_pool.Pools. A start took so many seconds at the most."""

    @property
    def slowest_start_s(self) -> float: ...

    def resize(self, capacity: Capacity) -> None: ...


class Autoscaler:
    """`capacity` says how many engines there are and where; `on_change` is told of another one. GPUs go between those
    of the `movable` models that have any."""

    def __init__(self, capacity: Capacity, movable: Collection[str], on_change: Callable[[Capacity], None]):
        self.capacity, self._on_change = capacity, on_change
        gpus = {MAIN: capacity.placement.gpus, **{name: one.gpus for name, (_, one) in capacity.others.items()}}
        placed = [name for name in movable if capacity.places and name in capacity.places.at]
        self._balance = Balance(gpus, placed) if len(placed) > 1 else None
        self._nodes: dict[int, str | None] = {}  # of replicas
        self._scheduler: Scheduler | None = None
        self._others: Engines | None = None

    def follow(self, scheduler: Scheduler, others: Engines) -> None:
        """Those who are told how many engines there are to be."""
        self._scheduler, self._others = scheduler, others

    def node(self, replica: int) -> str | None:
        """Where a worker of this replica is to be; None: Ray chooses."""
        assert self._scheduler is not None
        there = Counter(self._nodes.get(one) for one in self._scheduler.kept if one != replica)
        self._nodes[replica] = next(iter((self.capacity.nodes(MAIN) - there).elements()), None)
        return self._nodes[replica]

    async def follow_nodes(self, look: Callable[[Capacity], Awaitable[Capacity]]) -> None:
        """Never returns. `look` says what the capacity is by now, after what there was."""
        while True:
            await asyncio.sleep(NODES_INTERVAL_S)
            before = self.capacity
            after = await look(before)
            if after != self.capacity is before:
                self._resize(after)

    async def balance(
        self, look: Callable[[], Mapping[str, Observed]], seconds_left: Callable[[], float | None]
    ) -> None:
        """GPUs go from model to model, where it is left to the run how many engines each has. `look` says what each is
        at."""
        loop = asyncio.get_running_loop()
        while self._balance and self._scheduler and self._others:
            await asyncio.sleep(BALANCE_INTERVAL_S)
            load_s = max(self._scheduler.slowest_start_s, self._others.slowest_start_s)
            left = seconds_left()
            shift = self._balance.look(loop.time(), look(), math.inf if left is None else left, load_s)
            if shift and self.capacity.places:
                places = self.capacity.places.copy()
                places.shift(shift)
                self._resize(self.capacity.with_places(places))

    def _resize(self, capacity: Capacity) -> None:
        assert self._scheduler is not None and self._others is not None
        self.capacity = capacity
        self._on_change(capacity)
        self._others.resize(capacity)
        leaving = []
        if capacity.places:
            over = Counter(map(self._nodes.get, self._scheduler.kept)) - capacity.nodes(MAIN)
            for replica in reversed(self._scheduler.kept):
                if over[self._nodes.get(replica)] > 0:
                    over[self._nodes.get(replica)] -= 1
                    leaving.append(replica)
        self._scheduler.resize(capacity.replicas, leaving)
