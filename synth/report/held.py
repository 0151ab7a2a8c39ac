"""For how long a run has held its replicas, and the GPUs with them: what a cluster charges for.

A replica is held from the moment it is asked for until it is gone, so the loading of its model counts, and the time in
which it has nothing to do. Each process of a run counts from its own start and says so in metrics.jsonl, in which the
lines of one process have the same `started`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Held:
    """Seconds of all replicas together, and of all GPUs. `cost` is None without a price, or where no GPU was held: what
    a CPU costs, or a server, nobody has said."""

    replica_seconds: float = 0.0
    gpu_seconds: float = 0.0
    cost: float | None = None

    def __add__(self, other: "Held") -> "Held":
        known = [one.cost for one in (self, other) if one.cost is not None]
        return Held(
            self.replica_seconds + other.replica_seconds,
            self.gpu_seconds + other.gpu_seconds,
            sum(known) if known else None,
        )

    def cost_of_a_thousand(self, kept: int) -> float | None:
        """Of kept records, rejected ones counted in."""
        return None if self.cost is None or not kept else 1000 * self.cost / kept


NOTHING = Held()


class HeldTime:
    """Adds up, at each look, the time since the look before."""

    def __init__(self, price_per_gpu_hour: float | None, now: Callable[[], float] = time.monotonic):
        self._price, self._now, self._then = price_per_gpu_hour, now, now()
        self._held = Held()

    def look(self, replicas: int, gpus: float) -> Held:
        """All there was, if since the last look so many replicas have been held, with so many GPUs in all."""
        now = self._now()
        passed, self._then = now - self._then, now
        seconds, gpu_seconds = replicas * passed, gpus * passed
        cost = None if self._price is None or not gpu_seconds else gpu_seconds / 3600 * self._price
        self._held += Held(seconds, gpu_seconds, cost)
        return self._held


def held_by(snapshots: Iterable[Mapping[str, Any]]) -> Held:
    """What all processes have held that wrote these lines of metrics.jsonl: the last line of each tells."""
    last = {one.get("started"): one for one in snapshots if _number(one, "replica_seconds") is not None}
    return sum((Held(_number(one, "replica_seconds") or 0, _number(one, "gpu_seconds") or 0, _number(one, "cost"))
                for one in last.values()), NOTHING)  # fmt: skip


def _number(snapshot: Mapping[str, Any], name: str) -> float | None:
    value = snapshot.get(name)
    return float(value) if isinstance(value, int | float) else None
