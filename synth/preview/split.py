"""Divides a cluster among the engines of several models, and computes the run's time.

Every record calls every model, so a run takes as long as the model with the most work per engine (schedule/balance.py
moves GPUs towards that balance during a run). Numbers only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SIZES = (1, 8, 64)  # multiples for models whose number of engines is auto


@dataclass(frozen=True)
class Need:
    """`seconds` of an engine per kept record, and its `gpus`; `engines` is fixed, or None: as many as there is capacity
    for, at least one."""

    seconds: float
    gpus: float
    engines: int | None

    @property
    def least(self) -> int:
        return self.engines or 1


Counts = Mapping[str, int]


def splits(needs: Mapping[str, Need], first: str) -> list[dict[str, int]]:
    """Numbers of engines by model: one answer if all are fixed, else several, for clusters of several sizes. Models on
    GPUs grow with the cluster; on CPUs only `first` does, by one per node."""
    least = {name: need.least for name, need in needs.items()}
    growing = [name for name, need in needs.items() if need.engines is None and need.gpus]
    if growing:
        fewest = gpus_of(least, needs)
        return [_grown(least, needs, growing, total) for total in (fewest, *(one for one in SIZES if one > fewest))]
    if needs[first].engines is None:
        return [least | {first: count} for count in SIZES]
    return [least]


def seconds_of(counts: Counts, needs: Mapping[str, Need]) -> float:
    """Per kept record, over all models."""
    return max((need.seconds / counts[name] for name, need in needs.items()), default=0.0)


def gpus_of(counts: Counts, needs: Mapping[str, Need]) -> float:
    return sum(need.gpus * counts[name] for name, need in needs.items())


def _grown(least: Counts, needs: Mapping[str, Need], growing: Sequence[str], total: float) -> dict[str, int]:
    """Adds engines one by one for the slowest model, while there are GPUs."""
    counts = dict(least)
    while fitting := [one for one in growing if gpus_of(counts, needs) + needs[one].gpus <= total]:
        counts[max(fitting, key=lambda one: needs[one].seconds / counts[one])] += 1
    return counts
