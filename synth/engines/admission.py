"""How many requests an engine is given at once: all there are, or fewer than a batch where its cache holds fewer.

vLLM takes a request in when its prompt fits into the cache. Where answers then outgrow it, the last request loses its
place, and all that it had is computed again: that fills a batch, and with work that is done twice. Whether it pays is
measured: from a share of such work on, fewer requests are tried, and kept where the engine then writes no less. Who has
to wait then does so here, in the order they came; else in vLLM's own queue, from which a place in the batch is filled
without a step in between. No answer depends on it: a request has its own seed.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

WINDOW_S = 10.0
LEAST_TOKENS = 1000  # of a window, before anything is concluded
# Of all tokens computed, those computed again. Below that, fewer requests wrote less by vLLM's own scheduler on a
# pretended GPU, whose watermark leaves a tenth (benchmarks/preemption_simulated.py).
COSTLY = 0.15
FEWER, MORE = 0.93, 1.1
NO_LESS = 0.99  # of the tokens a second before
PATIENCE = 8  # windows in which what did not pay is not tried again
ROOM = 0.9  # of the cache in use, below which there is room for more


@dataclass
class _Window:
    since: float
    generated: float
    recomputed: float
    running: int = 0
    looks: int = 0
    most_used: float = 0.0
    waited: bool = False


class Admission:
    """A context for each request. `look` at each step of the engine's scheduler. `limit` is `most`, the size of a
    batch, as long as all are let in."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic):
        self._most, self._now = most, now
        self.limit = most
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._window: _Window | None = None
        self._before: tuple[int, float] | None = None  # the limit that fewer are tried in place of, and its rate
        self._patience = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        await self._enter()
        try:
            yield
        finally:
            self._inside -= 1
            self._admit()

    @property
    def _has_room(self) -> bool:
        return self.limit == self._most or self._inside < self.limit

    def look(self, generated: float, recomputed: float, running: int, used: float) -> None:
        """Totals of tokens since the engine's start, requests that run, and the share of the cache that is in use."""
        window = self._window
        if not self._has_room and self._inside > self.limit:
            self._window = None  # some are still to end before the limit is what it says
        elif window is None:
            self._window = _Window(self._now(), generated, recomputed)
        else:
            window.running += running
            window.looks += 1
            window.most_used = max(window.most_used, used)
            window.waited |= bool(self._waiting)
            self._judge(window, generated, recomputed)

    def _judge(self, window: _Window, generated: float, recomputed: float) -> None:
        seconds = self._now() - window.since
        if seconds >= WINDOW_S and generated - window.generated >= LEAST_TOKENS:
            written, again = generated - window.generated, recomputed - window.recomputed
            self._conclude(written / seconds, again / (written + again), window)
            self._window = _Window(self._now(), generated, recomputed)

    def _conclude(self, rate: float, share: float, window: _Window) -> None:
        self._patience -= 1
        if self._before is not None:
            limit, before = self._before
            self._before = None
            if rate < NO_LESS * before:
                self._resize(limit)
                self._patience = PATIENCE
                return
            rate = max(rate, before)  # so that no row of small losses is taken for none
        running = window.running / window.looks
        if share > COSTLY and self._patience <= 0:
            fewer = max(1, int(FEWER * min(running, self.limit)))
            if fewer < self.limit:
                self._before = self.limit, rate
                self._resize(fewer)
        elif share <= COSTLY / 2 and window.waited and window.most_used < ROOM:
            self._resize(min(self._most, max(self.limit + 1, int(MORE * self.limit))))

    def _resize(self, limit: int) -> None:
        self.limit = limit
        self._admit()

    async def _enter(self) -> None:
        if self._has_room:
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # admitted and cancelled at once
                self._inside -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._has_room:
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
