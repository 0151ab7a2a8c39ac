"""How fast an engine was while its batch was full: from the first moment that it was to the last one, so that how it
fills and empties does not count. Pure arithmetic over samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FULL = 0.9  # of the most requests that ever ran at once


@dataclass(frozen=True)
class Sample:
    """What an engine had done by a moment, in seconds since any beginning."""

    at: float
    tokens: float
    kept: int
    running: int
    preempted: int | None = None


@dataclass(frozen=True)
class Speed:
    """In the `seconds` of a full batch: tokens generated and records kept a second, how many requests ran `at_once` on
    average, and how many were preempted (None: not known)."""

    seconds: float
    tokens: float
    kept: float
    at_once: float
    preempted: int | None


def speed(samples: Sequence[Sample]) -> Speed | None:
    """None where a batch was not full for any time at all."""
    most = max((one.running for one in samples), default=0)
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
