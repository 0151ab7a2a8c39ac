"""Adaptive concurrency for a server with a rate limit (additive increase, multiplicative decrease).

All callers of one server share an instance. A refusal (429) pauses them all, for the time that the server asks for or
with exponential backoff. After it half as many requests run at once, and a few more with each round of answers, up to
`most`. Requests are never dropped: each waits until it is admitted.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from synth.engines import EngineStats

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
ROUNDS = 32  # of answers, to grow from none to `most`


class RateLimit:
    """`async with limit.admitted() as ticket` around each request, then `refused(ticket, ...)` or `answered()`.

    Counts running and waiting requests in `load`.
    """

    def __init__(self, most: int, server: str, load: EngineStats):
        self._most, self._server, self._load = most, server, load
        self._allowed = float(most)
        self._queue: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0  # on the event loop's clock; 0: not paused
        self._pauses = self._in_a_row = 0

    @property
    def paused_s(self) -> float:
        """Seconds until the next request may be sent."""
        return max(0.0, self._resume_at - asyncio.get_running_loop().time()) if self._resume_at else 0.0

    @asynccontextmanager
    async def admitted(self, again: bool = False) -> AsyncIterator[int]:
        """Waits for a slot; retries (`again`) go before first tries. The ticket is the number of pauses before the
        request."""
        await self._enter(again)
        try:
            yield self._pauses
        finally:
            self._load.running -= 1
            self._admit()

    def answered(self) -> None:
        """The server accepted a request."""
        self._in_a_row = 0
        self._allowed = min(self._most, self._allowed + self._most / ROUNDS / self._allowed)

    def refused(self, ticket: int, seconds: float | None, words: str) -> None:
        """The server refused a request; it accepts none for so many seconds; None or 0 if it does not say."""
        if ticket == self._pauses:  # of requests sent together only the first refusal counts
            self._pauses += 1
            self._in_a_row += 1
            self._allowed = max(1.0, self._allowed / 2)
            doubled = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._in_a_row - 1, 10))
            # Jitter: other processes that call the same server must not retry in the same moment.
            pause = seconds + random.uniform(0, min(5.0, seconds / 10)) if seconds else doubled * random.uniform(0.5, 1)
            log.warning("%s is at its rate limit, no request for %.3g s: %s", self._server, pause, words)
            self._pause(pause)
        elif seconds:
            self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() + seconds > self._resume_at:
            self._resume_at = loop.time() + seconds
            loop.call_at(self._resume_at, self._resume, self._resume_at)

    def _resume(self, at: float) -> None:
        if at == self._resume_at:  # else the pause was extended
            self._resume_at = 0.0
            self._admit()

    async def _enter(self, again: bool) -> None:
        turn = asyncio.get_running_loop().create_future()
        (self._queue.appendleft if again else self._queue.append)(turn)
        self._load.waiting += 1
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._queue:
                self._queue.remove(turn)
                self._load.waiting -= 1
            elif not turn.cancelled():  # admitted in the same moment
                self._load.running -= 1
            self._admit()
            raise

    def _admit(self) -> None:
        while self._queue and not self._resume_at and self._load.running < int(self._allowed):
            turn = self._queue.popleft()
            self._load.waiting -= 1
            if not turn.cancelled():
                self._load.running += 1
                turn.set_result(None)
