"""Decides which GPUs move from one model of a run to another, from the measured throughput of their engines.

Every record calls every model, so the run is as fast as its slowest model. A model is saturated when requests queue for
its engines or fill them. The tokens/s of a saturated engine are its capacity. The throughput of another model divided
by the capacity of one of its engines is the number of engines it needs. GPUs move from the model with the most spare
engines to the saturated one, as many as make the run fastest.

A move costs the load time of an engine, so it must pay for itself in the time that is left. After a move everything is
measured again, and twice as long before a move back.

Numbers only; places.py knows where engines are.
"""

import itertools
import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SETTLE_S = 20.0  # after a change, until batches have filled again
WINDOW_S = 60.0  # of measurement before a small gain counts; a larger gain needs less
LONGEST_WINDOW_S = 960.0
FULL = 0.9  # share of the requests that engines run at once
LEAST_GAIN = 1.05


@dataclass(frozen=True)
class Observed:
    """A model at one moment: `engines` running of those `wanted`; `at_once` requests per engine; `running` and
    `waiting` requests over all of them; `tokens` read and written so far."""

    engines: int
    wanted: int
    at_once: int
    running: int
    waiting: int
    tokens: float

    @property
    def fill(self) -> float:
        return min(1.0, self.running / max(1, self.engines * self.at_once))

    @property
    def saturated(self) -> bool:
        # Bursts of requests queue for a moment even on engines that are not full.
        return self.fill >= FULL or self.waiting >= 0.1 * self.engines * self.at_once


_Look = tuple[float, Observed]  # with its time in seconds


@dataclass(frozen=True)
class Shift:
    """Replace engines of `giver` by engines of `taker`, `blocks` times. A block is the GPU count of the larger of the
    two engines."""

    giver: str
    taker: str
    blocks: int


class Balance:
    """Call `look` at intervals. `gpus` is the GPU count of one engine of each model; only `movable` models take
    part."""

    def __init__(self, gpus: Mapping[str, float], movable: Collection[str]):
        self._gpus, self._movable = gpus, movable
        self._seen: deque[tuple[float, Mapping[str, Observed]]] = deque()
        self._counts: dict[str, int] = {}
        self._since = 0.0
        self._can: dict[str, float] = {}  # tokens/s of one saturated engine
        self._last: Shift | None = None
        self._window_s = WINDOW_S

    def look(self, now: float, seen: Mapping[str, Observed], seconds_left: float, load_s: float) -> Shift | None:
        """The move to make after observing `seen` at time `now`, or None. A new engine takes `load_s` to load."""
        counts = {name: one.engines for name, one in seen.items()}
        if counts != self._counts or any(one.engines != one.wanted for one in seen.values()):
            self._counts, self._since = counts, now
            self._seen.clear()
        if now - self._since < SETTLE_S:
            return None
        self._seen.append((now, seen))
        while self._seen[-1][0] - self._seen[0][0] > 2 * self._window_s:
            self._seen.popleft()
        measured_s = now - self._seen[0][0]
        if measured_s < self._window_s / 4:
            return None
        shift, gain = self._decided(seconds_left, load_s)
        if shift is not None and measured_s < self._window_s / gain**2:
            return None
        if shift is not None:
            back = self._last is not None and (self._last.giver, self._last.taker) == (shift.taker, shift.giver)
            self._window_s = min(2 * self._window_s, LONGEST_WINDOW_S) if back else WINDOW_S
            self._last = shift
            self._seen.clear()
        return shift

    def _decided(self, seconds_left: float, load_s: float) -> tuple[Shift | None, float]:
        """The best move that pays off, and the run's speedup from it."""
        busy, saturated = self._measured()
        takers = [name for name in saturated if name in self._movable]
        givers = [name for name in self._movable if name not in saturated and self._counts[name] > 1]
        best, most = None, LEAST_GAIN
        for taker in takers:
            for giver in givers:
                block = max(self._gpus[giver], self._gpus[taker])
                given, taken = math.ceil(block / self._gpus[giver]), int(block // self._gpus[taker])
                for blocks in range(1, (self._counts[giver] - 1) // given + 1):
                    after = self._counts | {
                        giver: self._counts[giver] - blocks * given,
                        taker: self._counts[taker] + blocks * taken,
                    }
                    gain = min(after[name] / need for name, need in busy.items() if need)
                    if gain > most + 1e-9 and self._pays(gain, blocks * block, seconds_left, load_s):
                        best, most = Shift(giver, taker, blocks), gain
        if best and best.giver not in self._can:
            # An engine's capacity is a guess until it was saturated, and half a batch has more than half the
            # throughput: move half of the way for now.
            best = Shift(best.giver, best.taker, math.ceil(best.blocks / 2))
        return best, most

    def _measured(self) -> tuple[dict[str, float], list[str]]:
        """The number of engines of each model that its throughput needs, and the saturated models."""
        busy, saturated = {}, []
        for name, count in self._counts.items():
            looks = [(when, seen[name]) for when, seen in self._seen]
            rate = _rate([(looks[0], looks[-1])])
            full = [(one, next) for one, next in itertools.pairwise(looks) if one[1].saturated and next[1].saturated]
            if sum(one.saturated for _, one in looks) > len(looks) / 2:
                saturated.append(name)
                busy[name] = float(count)
                if full:
                    # From those moments only: the load of the model may have changed since.
                    can, before = _rate(full) / count, self._can.get(name)
                    self._can[name] = can if before is None else (before + can) / 2
            elif name in self._can:
                # A partly filled batch has at least that share of the full throughput, and at most all of it.
                fill = sum(one.fill for _, one in looks) / len(looks)
                most = rate / count / fill if fill else 0.0
                self._can[name] = min(max(self._can[name], rate / count), most)
                busy[name] = rate / self._can[name] if self._can[name] else 0.0
            else:
                busy[name] = count * sum(one.fill for _, one in looks) / len(looks)
        return busy, saturated

    def _pays(self, gain: float, gpus: float, seconds_left: float, load_s: float) -> bool:
        share = gpus / sum(count * self._gpus[name] for name, count in self._counts.items())
        return (seconds_left - load_s) * (1 - 1 / gain) > 2 * load_s * share


def _rate(spans: Sequence[tuple[_Look, _Look]]) -> float:
    """Tokens/s over these spans of time."""
    return sum(end.tokens - begin.tokens for (_, begin), (_, end) in spans) / sum(
        last - first for (first, _), (last, _) in spans
    )
