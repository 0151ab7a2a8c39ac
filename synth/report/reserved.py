"""The cost of a run: GPU-hours of its replicas, and tokens of servers with a price.

A replica is reserved from the request for it until its end, so loading and idle time count. Each process of a run
counts from its own start, and its lines in metrics.jsonl have the same `started`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reserved:
    """Seconds of all replicas, and of all GPUs. `cost` is that of the GPUs and of all `cost_of_tokens`, by model. None
    if neither has a price, or if no GPU was reserved: CPUs have no price."""

    replica_seconds: float = 0.0
    gpu_seconds: float = 0.0
    cost: float | None = None
    cost_of_tokens: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: "Reserved") -> "Reserved":
        known = [one.cost for one in (self, other) if one.cost is not None]
        return Reserved(
            self.replica_seconds + other.replica_seconds,
            self.gpu_seconds + other.gpu_seconds,
            sum(known) if known else None,
            {
                name: self.cost_of_tokens.get(name, 0.0) + other.cost_of_tokens.get(name, 0.0)
                for name in {**self.cost_of_tokens, **other.cost_of_tokens}
            },
        )

    def cost_of_a_thousand(self, kept: int) -> float | None:
        """Per 1,000 kept records, rejected ones included."""
        return None if self.cost is None or not kept else 1000 * self.cost / kept

    def format_cost(self) -> str | None:
        """The cost, with each model's share."""
        if self.cost is None:
            return None
        shares = ", ".join(f"{name} {money(cost)}" for name, cost in self.cost_of_tokens.items())
        return f"cost {money(self.cost)}" + (f" (tokens of {shares})" if shares else "")


def money(amount: float) -> str:
    """Small amounts with two digits."""
    return f"{amount:,.2f}" if amount >= 0.1 or not amount else f"{amount:.2g}"


NOTHING = Reserved()


class ReservedTime:
    """Adds up the time between calls of `look`."""

    def __init__(self, price_per_gpu_hour: float | None, now: Callable[[], float] = time.monotonic):
        self._price, self._now, self._then = price_per_gpu_hour, now, now()
        self._reserved = Reserved()

    def look(self, replicas: int, gpus: float, cost_of_tokens: Mapping[str, float] | None = None) -> Reserved:
        """The total, given that so many replicas with so many GPUs were reserved since the last call; `cost_of_tokens`
        is that since the beginning."""
        now = self._now()
        passed, self._then = now - self._then, now
        seconds, gpu_seconds = replicas * passed, gpus * passed
        cost = None if self._price is None or not gpu_seconds else gpu_seconds / 3600 * self._price
        self._reserved += Reserved(seconds, gpu_seconds, cost)
        tokens = cost_of_tokens or {}
        return self._reserved + Reserved(cost=sum(tokens.values()) if tokens else None, cost_of_tokens=tokens)


def reserved_by(snapshots: Iterable[Mapping[str, Any]]) -> Reserved:
    """The sum over all processes that wrote these lines of metrics.jsonl: the last line of each has its totals."""
    last = {
        snapshot.get("started"): snapshot for snapshot in snapshots if _number(snapshot, "replica_seconds") is not None
    }
    return sum(map(_reserved, last.values()), NOTHING)


def _reserved(line: Mapping[str, Any]) -> Reserved:
    tokens = line.get("cost_of_tokens")
    costs = {str(name): cost for name in tokens if (cost := _number(tokens, name)) is not None} if tokens else {}
    replicas, gpus = _number(line, "replica_seconds") or 0, _number(line, "gpu_seconds") or 0
    return Reserved(replicas, gpus, _number(line, "cost"), costs)


def _number(snapshot: Mapping[str, Any], name: str) -> float | None:
    value = snapshot.get(name)
    return float(value) if isinstance(value, int | float) else None
