"""Which GPUs are to go from one model of a run to another, by what their engines are measured to do.

Every record asks every model, so a run is as fast as the model whose engines have too much to do. A model is saturated
when requests wait for its engines or fill them. What an engine does then, in tokens a second, is what it can do; what
the engines of another model do meanwhile, over what they can do, is how many of them are needed. GPUs go from the model
with the most to spare to the saturated one, so many that the run is fastest.

A move costs the time in which an engine loads, so it has to pay for itself in the time that is left. After a move all
is measured anew, and where the next one goes back, for twice as long.

Numbers only: where the engines are, places.py knows.
"""

import itertools
import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SETTLE_S = 20.0  # after a change, until the batches are what they will be
WINDOW_S = 60.0  # of measuring, before a small gain is believed; the larger it is, the less
LONGEST_WINDOW_S = 960.0
FULL = 0.9  # of the requests that engines run at once
LEAST_GAIN = 1.05


@dataclass(frozen=True)
class Observed:
    """A model at one moment: `engines` that answer, of those `wanted`, each of which runs `at_once` requests; requests
    of all of them that are `running` and `waiting`; `tokens` that they have read and written so far."""

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
        # A few wait for a moment wherever requests come in bursts.
        return self.fill >= FULL or self.waiting >= 0.1 * self.engines * self.at_once


_Look = tuple[float, Observed]  # with its time


@dataclass(frozen=True)
class Shift:
    """Engines of `giver` make room for engines of `taker`, `blocks` times: a block is as many GPUs as the larger engine
    of the two has."""

    giver: str
    taker: str
    blocks: int


class Balance:
    """`look` now and then. `gpus` are those of one engine of each model; GPUs move between the `movable` ones."""

    def __init__(self, gpus: Mapping[str, float], movable: Collection[str]):
        self._gpus, self._movable = gpus, movable
        self._seen: deque[tuple[float, Mapping[str, Observed]]] = deque()
        self._counts: dict[str, int] = {}
        self._since = 0.0
        self._can: dict[str, float] = {}  # tokens a second of one engine that was saturated
        self._last: Shift | None = None
        self._window_s = WINDOW_S

    def look(self, now: float, seen: Mapping[str, Observed], seconds_left: float, load_s: float) -> Shift | None:
        """What is to be done about what is seen `now`. A new engine takes `load_s` to load."""
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
        """The best shift that pays, and how much faster the run is by it."""
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
            # What its engines can do is a guess until they were saturated, and an engine with half a batch does more
            # than half: half the way now.
            best = Shift(best.giver, best.taker, math.ceil(best.blocks / 2))
        return best, most

    def _measured(self) -> tuple[dict[str, float], list[str]]:
        """How many engines of each model what they do would fill, and which models are saturated."""
        busy, saturated = {}, []
        for name, count in self._counts.items():
            looks = [(when, seen[name]) for when, seen in self._seen]
            rate = _rate([(looks[0], looks[-1])])
            full = [(one, next) for one, next in itertools.pairwise(looks) if one[1].saturated and next[1].saturated]
            if sum(one.saturated for _, one in looks) > len(looks) / 2:
                saturated.append(name)
                busy[name] = float(count)
                if full:
                    # Of those moments alone: what records ask of it may have changed since.
                    can, before = _rate(full) / count, self._can.get(name)
                    self._can[name] = can if before is None else (before + can) / 2
            elif name in self._can:
                # With a part of its batch an engine does at least that part of what it can do, and at most all of it.
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
    """Tokens a second over these spans of time."""
    return sum(end.tokens - begin.tokens for (_, begin), (_, end) in spans) / sum(
        last - first for (first, _), (last, _) in spans
    )
