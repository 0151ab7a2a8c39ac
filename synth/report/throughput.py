"""A run's throughput over time, from metrics.jsonl.

Only time with a ready engine counts: loading and pauses between processes are excluded. Counters of different processes
are never compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

PAUSE_S = 30.0
POINTS = 300


@dataclass(frozen=True)
class Throughput:
    """Running time in `seconds` and series of equal length; `starts` is when each process began.

    `engine_seconds` is the time of all ready engines together.
    """

    seconds: np.ndarray
    series: dict[str, np.ndarray]
    starts: list[float]
    engine_seconds: float

    @property
    def duration(self) -> float:
        return float(self.seconds[-1]) if len(self.seconds) else 0.0


SERIES = ("tokens_per_second", "running", "waiting", "cache_usage", "kept")


class Span:
    """The interval between two lines: `gap` seconds, `engine_seconds` of ready engines, generated `tokens`.

    Not `whole` if another process began in between, which counts from its own start.
    """

    def __init__(self, before: Mapping[str, Any], after: Mapping[str, Any]):
        self.gap = after["time"] - before["time"]
        self.engine_seconds = self.gap * _number(before, "replicas_ready")
        self.tokens = _number(after, "completion_tokens") - _number(before, "completion_tokens")
        self.whole = 0 <= self.gap <= PAUSE_S and self.tokens >= 0


def throughput(snapshots: Sequence[Mapping[str, Any]]) -> Throughput:
    """From lines in the order of time; a missing or invalid value counts as 0."""
    ready = [_number(snapshot, "replicas_ready") > 0 for snapshot in snapshots]
    # A line without a ready engine has the last counts.
    snapshots = [one for one, *either in zip(snapshots, ready, [False, *ready], strict=False) if any(either)]
    seconds, starts, engine_seconds = [0.0] if snapshots else [], [], 0.0
    for before, after in pairwise(snapshots):
        span = Span(before, after)
        if span.whole:
            engine_seconds += span.engine_seconds
        else:
            starts.append(seconds[-1])
        seconds.append(seconds[-1] + (span.gap if span.whole else 0.0))
    series = {name: np.array([_number(snapshot, name) for snapshot in snapshots]) for name in SERIES}
    return _thinned(Throughput(np.array(seconds), series, starts, engine_seconds))


def _thinned(whole: Throughput) -> Throughput:
    """At most POINTS points, each the mean of its neighbourhood."""
    if len(whole.seconds) <= POINTS:
        return whole
    groups = np.array_split(np.arange(len(whole.seconds)), POINTS)
    thin = {name: np.array([values[group].mean() for group in groups]) for name, values in whole.series.items()}
    ends = np.array([whole.seconds[group[-1]] for group in groups])
    return Throughput(ends, thin, whole.starts, whole.engine_seconds)


def _number(snapshot: Mapping[str, Any], name: str) -> float:
    value = snapshot.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
