"""The number of engines of a run: it follows the nodes of the cluster and the load of the models.

cluster.py polls the nodes, balance.py decides which GPUs move between models, places.py keeps which engine is on which
node. This module passes their decisions to the scheduler (main's replicas) and the engine pools (all other models),
which start and stop engines.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

from synth.schedule.balance import Balance, Observed
from synth.schedule.capacity import Capacity
from synth.schedule.scheduler import Scheduler
from synth.steps.endpoints import MAIN

NODES_INTERVAL_S = 2.0
BALANCE_INTERVAL_S = 2.0


class Engines(Protocol):
    """The engine pools of the models beside main (engine_pool.Pools). `slowest_start_s` is in seconds."""

    @property
    def slowest_start_s(self) -> float: ...

    def resize(self, capacity: Capacity) -> None: ...


class Autoscaler:
    """`capacity` is the current number and place of engines; `on_change` is called when it changes. GPUs move only
    between the `movable` models, if there are any."""

    def __init__(self, capacity: Capacity, movable: Collection[str], on_change: Callable[[Capacity], None]):
        self.capacity, self._on_change = capacity, on_change
        gpus = {MAIN: capacity.placement.gpus, **{name: one.gpus for name, (_, one) in capacity.others.items()}}
        placed = [name for name in movable if capacity.places and name in capacity.places.at]
        self._balance = Balance(gpus, placed) if len(placed) > 1 else None
        self._nodes: dict[int, str | None] = {}  # by replica
        self._scheduler: Scheduler | None = None
        self._others: Engines | None = None

    def follow(self, scheduler: Scheduler, others: Engines) -> None:
        """Apply changes of capacity to these from now on."""
        self._scheduler, self._others = scheduler, others

    def node(self, replica: int) -> str | None:
        """The node for this replica's worker; None: Ray chooses."""
        assert self._scheduler is not None
        there = Counter(self._nodes.get(one) for one in self._scheduler.kept if one != replica)
        self._nodes[replica] = next(iter((self.capacity.nodes(MAIN) - there).elements()), None)
        return self._nodes[replica]

    async def follow_nodes(self, look: Callable[[Capacity], Awaitable[Capacity]]) -> None:
        """Poll the nodes; never returns. `look` gets the last capacity and returns the current one."""
        while True:
            await asyncio.sleep(NODES_INTERVAL_S)
            before = self.capacity
            after = await look(before)
            if after != self.capacity is before:
                self._resize(after)

    async def balance(
        self, look: Callable[[], Mapping[str, Observed]], seconds_left: Callable[[], float | None]
    ) -> None:
        """Move GPUs between models whose number of engines is `auto`. `look` returns the observed load of each."""
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
