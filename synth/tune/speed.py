"""The speed of an engine with a full batch: from the first moment with one to the last, so that filling and emptying
does not count. Arithmetic over samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FULL = 0.9  # of the most concurrent requests


@dataclass(frozen=True)
class Sample:
    """The engine's counters at a moment, in seconds since an arbitrary beginning."""

    at: float
    tokens: float
    kept: int
    running: int
    preempted: int | None = None


@dataclass(frozen=True)
class Speed:
    """Over the `seconds` with a full batch: generated tokens/s and kept records/s, the mean number of requests
    `at_once`, and preempted requests (None: unknown)."""

    seconds: float
    tokens: float
    kept: float
    at_once: float
    preempted: int | None


def speed(samples: Sequence[Sample]) -> Speed | None:
    """None if the batch was never full for any time."""
    most = max((sample.running for sample in samples), default=0)
    full = [place for place, one in enumerate(samples) if most and one.running >= FULL * most]
    if not full or full[0] == full[-1]:
        return None
    within = samples[full[0] : full[-1] + 1]
    first, last = within[0], within[-1]
    seconds = last.at - first.at
    preempted = None
    if first.preempted is not None and last.preempted is not None:
        preempted = last.preempted - first.preempted
    return Speed(
        seconds,
        tokens=(last.tokens - first.tokens) / seconds,
        kept=(last.kept - first.kept) / seconds,
        at_once=sum(one.running for one in within) / len(within),
        preempted=preempted,
    )
