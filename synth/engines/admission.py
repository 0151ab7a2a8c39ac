"""Admission control for vLLM: fewer concurrent requests than a full batch if the KV cache holds fewer.

vLLM schedules a request if its prompt fits into the cache. If answers then outgrow the cache, the last request is
preempted and recomputed, so the batch is full of repeated work. Whether fewer requests are better is measured: if the
share of recomputed tokens is above a threshold, fewer requests are tried, and kept if throughput does not fall.
Requests beyond the limit wait here, first in, first out; otherwise in vLLM's own queue, which refills a batch without
delay. No answer depends on this: each request has its own seed.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

WINDOW_S = 10.0
LEAST_TOKENS = 1000  # of a window, before it is evaluated
# Share of recomputed tokens among all computed ones. Below it, fewer requests had a lower throughput with vLLM's
# scheduler on a simulated GPU, whose watermark leaves a tenth (benchmarks/preemption_simulated.py).
COSTLY = 0.15
FEWER, MORE = 0.93, 1.1
NO_LESS = 0.99  # of the tokens/s before
PATIENCE = 8  # windows before a change that did not pay is tried again
ROOM = 0.9  # share of the cache in use, below which more requests are admitted


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
    """A context for each request. Call `look` at each scheduler step of the engine. `limit` is `most`, the batch size,
    while all requests are admitted."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic):
        self._most, self._now = most, now
        self.limit = most
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._window: _Window | None = None
        self._before: tuple[int, float] | None = None  # limit and rate before the current trial of fewer requests
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
        """Totals of tokens since the engine's start, running requests, and the share of the cache in use."""
        window = self._window
        if not self._has_room and self._inside > self.limit:
            self._window = None  # more than `limit` requests are still running
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
            rate = max(rate, before)  # so that small losses can't add up
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
            if turn.done() and not turn.cancelled():  # admitted and cancelled in the same moment
                self._inside -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._has_room:
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
