"""How the engines of several models share the work of a run, and how long it then takes.

Every record asks every model, so a run takes as long as the model whose engines have most to do (schedule/balance.py
moves GPUs towards that while a run goes). Numbers only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SIZES = (1, 8, 64)  # of what nobody has fixed


@dataclass(frozen=True)
class Need:
    """`seconds` of an engine for a kept record, on `gpus` of its own; `engines` is fixed, or None: as many as there is
    room for, at least one."""

    seconds: float
    gpus: float
    engines: int | None

    @property
    def least(self) -> int:
        return self.engines or 1


Counts = Mapping[str, int]


def splits(needs: Mapping[str, Need], first: str) -> list[dict[str, int]]:
    """How many engines each model may have: one answer where all are fixed, else some, for clusters of several sizes.
    Only models on GPUs grow with them; on CPUs only `first` does, by one a machine."""
    least = {name: need.least for name, need in needs.items()}
    growing = [name for name, need in needs.items() if need.engines is None and need.gpus]
    if growing:
        fewest = gpus_of(least, needs)
        return [_grown(least, needs, growing, total) for total in (fewest, *(one for one in SIZES if one > fewest))]
    if needs[first].engines is None:
        return [least | {first: count} for count in SIZES]
    return [least]


def seconds_of(counts: Counts, needs: Mapping[str, Need]) -> float:
    """For a kept record, by all of them together."""
    return max((need.seconds / counts[name] for name, need in needs.items()), default=0.0)


def gpus_of(counts: Counts, needs: Mapping[str, Need]) -> float:
    return sum(need.gpus * counts[name] for name, need in needs.items())


def _grown(least: Counts, needs: Mapping[str, Need], growing: Sequence[str], total: float) -> dict[str, int]:
    """One engine after another for whom the others wait, while GPUs are left."""
    counts = dict(least)
    while fitting := [one for one in growing if gpus_of(counts, needs) + needs[one].gpus <= total]:
        counts[max(fitting, key=lambda one: needs[one].seconds / counts[one])] += 1
    return counts
