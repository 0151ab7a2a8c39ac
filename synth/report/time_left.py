"""Estimates the remaining time of a run from the lengths of its records.

Records that end first are short, so the mean length of ended records is too low for a long time. Running records are
longer than what they have written so far. Both together give the distribution of lengths (Kaplan and Meier, 1958), and
from that: the expected rest of a running record, the yield, and how long the last records run when no others fill the
engines. Beyond the longest record seen, lengths are taken as exponential, up to the maximum.
"""

import math
from dataclasses import dataclass

import numpy as np

from synth.report.work import BINS, RATIO, Work

FEWEST = 3  # ended records before there is an estimate
# Share of a step's time that remains when a batch empties (on GPUs most of it).
FIXED = 2 / 3
_CENTERS = np.array([0.0, *(RATIO ** (place + 0.5) for place in range(BINS - 1))])


@dataclass(frozen=True)
class Left:
    """What a run has still to do. `missing` rows must still be kept, None if all records are run; `leased` records are
    unfinished, and `more` records may follow. `longest` is the most tokens of a record, if known."""

    missing: float | None
    leased: float
    more: float
    longest: float = math.inf


@dataclass(frozen=True)
class Lengths:
    """The distribution of lengths in tokens: a share `mass` of records each of `values`, and kept rows per record."""

    values: np.ndarray
    mass: np.ndarray
    kept: float

    @property
    def mean(self) -> float:
        return float(self.mass @ self.values)

    def rest(self, written: float) -> float:
        """The expected rest of a record that has `written` so many tokens."""
        beyond = np.where(self.values > written, self.mass, 0.0)
        total = float(beyond.sum())
        return float(beyond @ self.values) / total - written if total > 0 else 0.0

    def longer(self, written: float, rest: np.ndarray) -> np.ndarray:
        """The share of records with `written` tokens that will write more than `rest` further ones."""
        beyond = np.where(self.values > written, self.mass, 0.0)
        total = beyond.sum()
        return (beyond @ (self.values[:, None] > written + rest)) / total if total > 0 else np.zeros(len(rest))

    def steady_longer(self, rest: np.ndarray) -> np.ndarray:
        """The same for records running at any moment, in a steady state."""
        return np.asarray(self.mass @ np.maximum(0.0, self.values[:, None] - rest) / self.mean)

    @property
    def steady_rest(self) -> float:
        return float(self.mass @ self.values**2) / (2 * self.mean)


def lengths(work: Work, longest: float = math.inf) -> Lengths | None:
    """None if too few records have ended."""
    ended, tokens, kept = np.array(work.ended), np.array(work.tokens), np.array(work.kept)
    running = np.array(work.running)
    running[0] = 0  # these have not begun to write
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
    """At `rate` tokens/s with `at_once` requests in the engines, each at the current `speed`. None if there is no
    estimate yet."""
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
    longest = float(np.interp(-np.log(2), -longer, rests))  # median of the longest rest
    speed = max(speed, rate / max(1.0, at_once) / 4)  # engines may stall for a moment, or be stopping
    # During the tail the engines become emptier.
    return (tokens - end) / rate + (1 - FIXED) * end / rate + FIXED * max(end / rate, longest / speed)
