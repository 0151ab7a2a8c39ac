"""How long a run still takes, by how long its records have turned out to be and how far those have come that run.

Records that end first are the short ones, so the mean of those that have ended is too low for a long time. Those that
run tell that they are longer than what they have written: how many are of which length follows from both (Kaplan and
Meier, 1958), and from that what a record will still write that has written so much, how many rows are kept of it, and
how long the last ones run on when no others are left to fill the engines. Lengths beyond all that has been seen are
taken for exponential, up to the longest that there may be.

Knows numbers only.
"""

import math
from dataclasses import dataclass

import numpy as np

from synth.report.work import BINS, RATIO, Work

FEWEST = 3  # ended records, before anything can be said
# An engine whose batch empties: this part of its step's time stays, whatever is in the batch (GPUs: most of it).
FIXED = 2 / 3
_CENTERS = np.array([0.0, *(RATIO ** (place + 0.5) for place in range(BINS - 1))])


@dataclass(frozen=True)
class Left:
    """What a run has still to do. `missing` are the rows that it has still to keep, None where it makes all records;
    `leased` the records that workers have and that have not ended, `more` those that may come after them. `longest` is
    the most that a record may write, in tokens, where that is known."""

    missing: float | None
    leased: float
    more: float
    longest: float = math.inf


@dataclass(frozen=True)
class Lengths:
    """How long records are, in tokens: a share `mass` of them each of `values`, and rows kept of a record."""

    values: np.ndarray
    mass: np.ndarray
    kept: float

    @property
    def mean(self) -> float:
        return float(self.mass @ self.values)

    def rest(self, written: float) -> float:
        """What a record has still to write, on average, that has `written` so much."""
        beyond = np.where(self.values > written, self.mass, 0.0)
        total = float(beyond.sum())
        return float(beyond @ self.values) / total - written if total > 0 else 0.0

    def longer(self, written: float, rest: np.ndarray) -> np.ndarray:
        """The share of the records that have `written` so much which have still to write more than `rest`."""
        beyond = np.where(self.values > written, self.mass, 0.0)
        total = beyond.sum()
        return (beyond @ (self.values[:, None] > written + rest)) / total if total > 0 else np.zeros(len(rest))

    def steady_longer(self, rest: np.ndarray) -> np.ndarray:
        """The same of those that run at any moment, when there have always been others to follow."""
        return np.asarray(self.mass @ np.maximum(0.0, self.values[:, None] - rest) / self.mean)

    @property
    def steady_rest(self) -> float:
        return float(self.mass @ self.values**2) / (2 * self.mean)


def lengths(work: Work, longest: float = math.inf) -> Lengths | None:
    """None where too few have ended to tell."""
    ended, tokens, kept = np.array(work.ended), np.array(work.tokens), np.array(work.kept)
    running = np.array(work.running)
    running[0] = 0  # they wait for their turn
    exposure = tokens.sum() + running @ _CENTERS
    if ended.sum() < FEWEST or not exposure:
        return None
    at_risk = np.cumsum((ended + running)[::-1])[::-1] - running / 2
    hazard = np.divide(ended, at_risk, out=np.zeros(BINS), where=at_risk > 0)
    survival = np.concatenate([[1.0], np.cumprod(1 - np.minimum(hazard, 1.0))])
    mass = survival[:-1] - survival[1:]
    values = np.divide(tokens, ended, out=np.zeros(BINS), where=ended > 0)
    furthest = max(values.max(), _CENTERS[np.flatnonzero(running)].max(initial=0.0))
    rows = np.divide(kept, ended, out=np.zeros(BINS), where=ended > 0)
    beyond, mean_rows, mean_rest = survival[-1], kept.sum() / ended.sum(), exposure / ended.sum()
    if longest < math.inf:
        mean_rest *= 1 - math.exp(-max(0.0, longest - furthest) / mean_rest)
    return Lengths(
        np.append(values, furthest + max(1.0, mean_rest)),
        np.append(mass, beyond),
        float(mass @ rows + beyond * mean_rows),
    )


def seconds_left(work: Work, left: Left, rate: float, at_once: float, speed: float) -> float | None:
    """At `rate` tokens a second of `at_once` requests in the engines, each at the `speed` of the last moments. None
    where nothing can be said yet."""
    known = lengths(work, left.longest)
    if known is None or rate <= 0 or known.mean <= 0:
        return None
    records = left.leased + left.more
    if left.missing is not None:
        if known.kept <= 0:
            return None
        records = min(records, max(left.missing, 0.0) / known.kept)
    begun = [
        (count, float(written)) for count, written in zip(work.running, _CENTERS, strict=True) if count and written
    ]
    count = sum(count for count, _ in begun)
    waiting = max(0.0, records - count)
    tokens = sum(count * known.rest(written) for count, written in begun) + waiting * known.mean
    rests = np.unique(np.concatenate([[0.0], *(known.values - written for _, written in [(0, 0.0), *begun])]))
    rests = rests[rests >= 0]
    if waiting >= 1:
        last = min(max(1.0, at_once), count + waiting)
        longer = last * known.steady_longer(rests)
        end = min(tokens, last * known.steady_rest)
    else:
        longer = sum((count * known.longer(written, rests) for count, written in begun), np.zeros(len(rests)))
        end = tokens
    longest = float(np.interp(-np.log(2), -longer, rests))  # more likely than not, none has more to write
    speed = max(speed, rate / max(1.0, at_once) / 4)  # engines that stand still for a moment, or are told to stop
    # While the last ones run, engines are less and less filled.
    return (tokens - end) / rate + (1 - FIXED) * end / rate + FIXED * max(end / rate, longest / speed)
