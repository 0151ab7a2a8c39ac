"""Rates of a run over its last half minute, such as tokens/s, and the time that is left by them.

Promises: the time that engines take to start is no part of a rate. A lost worker takes its counters along, and still no
rate is negative.
"""

from collections import deque
from typing import Literal

from synth.report.snapshot import Snapshot
from synth.report.time_left import StepTime, seconds_left

WINDOW_S = 30.0
LATELY_S = 5.0


class Rates:
    """Keeps the snapshots of the last WINDOW_S seconds. `ready_at` is the moment when an engine first became ready,
    None before. Moments are in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, Snapshot]] = deque()
        self.ready_at: float | None = None
        self._step_time = StepTime()
        self._step_seen: float | None = None

    def add(self, moment: float, now: Snapshot) -> None:
        if self.ready_at is None:
            self._history.clear()
            if now.replicas_ready:
                self.ready_at = moment
        self._history.append((moment, now))
        while len(self._history) > 2 and moment - self._history[0][0] > WINDOW_S:
            self._history.popleft()
        if now.replicas_ready and (self._step_seen is None or moment - self._step_seen >= LATELY_S):
            self._see_step_time(now.replicas_ready)
            self._step_seen = moment

    def _see_step_time(self, replicas: int) -> None:
        rate, running = self.per_second("completion_tokens", LATELY_S), self._mean_running(LATELY_S)
        if rate:
            self._step_time.add(running / replicas, running / rate)

    @property
    def last(self) -> Snapshot | None:
        return self._history[-1][1] if self._history else None

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens/s of main's engines."""
        return self.per_second("completion_tokens")

    @property
    def goodput(self) -> float:
        """Kept records per engine-second."""
        seconds = self.growth("engine_seconds") if self._history else 0.0
        return self.growth("made") / seconds if seconds else 0.0

    def per_second(self, name: str, window: float = WINDOW_S) -> float:
        """The rate of a counter of the snapshots, over the last `window` seconds; 0 before there are two snapshots."""
        lately = self._lately(window)
        if len(lately) < 2:
            return 0.0
        (begin, first), (end, last) = lately[0], lately[-1]
        return float(max(0.0, getattr(last, name) - getattr(first, name))) / max(end - begin, 1e-9)

    def growth(self, name: str) -> float:
        """How much a counter has grown. Raises IndexError before the first snapshot."""
        (_, first), (_, last) = self._history[0], self._history[-1]
        return float(max(0.0, getattr(last, name) - getattr(first, name)))

    def of_model(self, model: str) -> tuple[float, Literal["completion_tokens", "prompt_tokens"]]:
        """Tokens/s of a model beside main, and of which kind: prompt tokens for a model that generates none."""
        lately = [(moment, one.models[model]) for moment, one in self._history if model in one.models]
        if len(lately) < 2:
            return 0.0, "completion_tokens"
        (begin, first), (end, last) = lately[0], lately[-1]
        kind: Literal["completion_tokens", "prompt_tokens"]
        kind = "completion_tokens" if last.completion_tokens else "prompt_tokens"
        return max(0, getattr(last, kind) - getattr(first, kind)) / max(end - begin, 1e-9), kind

    def seconds_left(self) -> float | None:
        """The estimated time until the run ends, in seconds; None if there is no estimate yet."""
        now = self.last
        if now is None:
            return None
        if now.work and now.left and self.tokens_per_second:
            at_once = self._mean_running(WINDOW_S)
            speed = self.per_second("completion_tokens", LATELY_S) / max(1.0, self._mean_running(LATELY_S))
            fixed = self._step_time.fixed(at_once / max(1, now.replicas_ready))
            return seconds_left(now.work, now.left, self.tokens_per_second, at_once, speed, fixed)
        rate = self.per_second("made")  # of records that call no model
        return max(0.0, now.wanted - now.kept) / rate if rate > 0 else None

    def _lately(self, window: float) -> list[tuple[float, Snapshot]]:
        history = self._history
        return [one for one in history if window >= WINDOW_S or history[-1][0] - one[0] <= window]

    def _mean_running(self, window: float) -> float:
        lately = self._lately(window)
        return sum(one.running for _, one in lately) / max(1, len(lately))
