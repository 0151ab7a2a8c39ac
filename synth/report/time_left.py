"""Estimates the remaining time of a run from the lengths of its records.

Records that end first are short, so the mean length of ended records is too low for a long time. Running records are
longer than what they have written so far. Both together give the distribution of lengths (Kaplan and Meier, 1958), and
from that: the expected rest of a running record, the yield, and how long the last records run when no others fill the
engines. Beyond the longest record seen, lengths are taken as exponential, up to the maximum.

How much faster a token comes when a batch empties differs: on a GPU a step takes nearly as long for few requests as for
many, on a CPU not. It is measured during the run (StepTime).
"""

import math
from dataclasses import dataclass

import numpy as np

from synth.report.work import BINS, RATIO, Work

FEWEST = 3  # ended records before there is an estimate
FIXED = 0.5  # share of a step's time that remains when a batch empties, until it is measured
LEAST_FIXED = 0.02
PRIOR = 0.1  # weight of FIXED, in measurements
_CENTERS = np.array([0.0, *(RATIO ** (place + 0.5) for place in range(BINS - 1))])


@dataclass(frozen=True)
class Left:
    """What a run has still to do. `missing` rows must still be kept, None if all records are run; `leased` records are
    unfinished, and `more` records may follow. `longest` is the most tokens of a record, if known."""

    missing: float | None
    leased: float
    more: float
    longest: float = math.inf


class StepTime:
    """The time of an engine's step as a straight line over the requests in it, by least squares of relative errors."""

    def __init__(self) -> None:
        self._squares = np.zeros((2, 2))
        self._sums = np.zeros(2)
        self._count = 0

    def add(self, requests: float, seconds: float) -> None:
        """One step of an engine with `requests` took `seconds`, both on average over some seconds."""
        if requests >= 1 and seconds > 0:
            row = np.array([1.0, requests]) / seconds
            self._squares += np.outer(row, row)
            self._sums += row
            self._count += 1

    def fixed(self, requests: float) -> float:
        """The share of the time of a step with `requests` that a step with one request takes. FIXED if no batch of
        another size was seen."""
        if not self._count or requests <= 1:
            return FIXED
        seconds = self._count / self._sums[0]  # a mean
        expected = np.array([1.0, 1.0]) / (FIXED * seconds)
        squares = self._squares + PRIOR * np.outer(expected, expected)
        line = np.linalg.solve(squares, self._sums + PRIOR * expected)
        alone, full = float(line.sum()), float(line @ [1.0, requests])
        return min(1.0, max(LEAST_FIXED, alone / full)) if full > 0 else FIXED


@dataclass(frozen=True)
class Lengths:
    """The distribution of lengths in tokens: a share `mass` of records each of `values`, with `rows` kept rows per
    record of each; and kept rows per record."""

    values: np.ndarray
    mass: np.ndarray
    rows: np.ndarray

    @property
    def kept(self) -> float:
        return float(self.mass @ self.rows)

    @property
    def mean(self) -> float:
        return float(self.mass @ self.values)

    def rest(self, written: float) -> float:
        """The expected rest of a record that has `written` so many tokens."""
        beyond = np.where(self.values > written, self.mass, 0.0)
        total = float(beyond.sum())
        return float(beyond @ self.values) / total - written if total > 0 else 0.0

    def rows_of(self, written: float) -> float:
        """The expected kept rows of a record that has `written` so many tokens."""
        beyond = np.where(self.values > written, self.mass, 0.0)
        total = float(beyond.sum())
        return float(beyond @ self.rows) / total if total > 0 else float(self.rows[-1])

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
        np.append(rows, mean_rows),
    )


def seconds_left(
    work: Work, left: Left, rate: float, at_once: float, speed: float, fixed: float = FIXED
) -> float | None:
    """At `rate` tokens/s with `at_once` requests in the engines, each at the current `speed`. `fixed` is the share of a
    step's time that remains when the batch empties. None if there is no estimate yet."""
    known = lengths(work, left.longest)
    if known is None or rate <= 0 or known.mean <= 0:
        return None
    begun = [
        (count, float(written)) for count, written in zip(work.running, _CENTERS, strict=True) if count and written
    ]
    count = sum(count for count, _ in begun)
    waiting = max(0.0, left.leased + left.more - count)
    if left.missing is not None:
        if known.kept <= 0:
            return None
        missing = max(left.missing, 0.0) - sum(count * known.rows_of(written) for count, written in begun)
        waiting = min(waiting, max(0.0, missing) / known.kept)
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
    return (tokens - end) / rate + (1 - fixed) * end / rate + fixed * max(end / rate, longest / speed)
