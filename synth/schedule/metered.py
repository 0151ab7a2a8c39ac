"""The engine as records see it, with what each call takes: its tokens, and its share of the engine's time.

An engine answers `concurrency` requests at once, in the order they came; at every moment its time is shared evenly by
those. So the shares of all requests add up to the time in which the engine had any, and one that waits for its turn
takes nothing. Asks the engine nothing: it is a model of it, exact in the sum.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synth.engines import Answer, Engine, Form, Sampling


@dataclass(eq=False, slots=True)
class Turn:
    """A request. `begun` is what each request in its turn had taken when this one's came, None before that."""

    begun: float | None = None
    over: bool = False


class SharedTime:
    """`join` when a request comes, `leave` when it is answered or given up; `busy` are seconds with any request."""

    def __init__(self, concurrency: int, now: Callable[[], float] = time.perf_counter):
        self._concurrency, self._now = concurrency, now
        self._then = now()
        self._each = 0.0  # what a request has taken that has been in its turn all the time
        self._running = 0
        self._waiting: deque[Turn] = deque()
        self.busy = 0.0

    def join(self) -> Turn:
        self._pass()
        turn = Turn()
        self._waiting.append(turn)
        self._admit()
        return turn

    def leave(self, turn: Turn) -> float:
        """The request's seconds."""
        self._pass()
        turn.over = True
        if turn.begun is None:
            return 0.0
        self._running -= 1
        self._admit()
        return self._each - turn.begun

    def _admit(self) -> None:
        while self._waiting and self._running < self._concurrency:
            turn = self._waiting.popleft()
            if not turn.over:
                turn.begun = self._each
                self._running += 1

    def _pass(self) -> None:
        now = self._now()
        if self._running:
            self.busy += now - self._then
            self._each += (now - self._then) / self._running
        self._then = now


class Metered:
    """A Generator. Counts call by call, what was lost too: a record's own count comes only when it is finished.

    `time` is given where others ask the same engine."""

    def __init__(self, engine: Engine, time: SharedTime | None = None):
        self._engine = engine
        self._time = time or SharedTime(engine.concurrency)
        self.max_model_len = engine.max_model_len
        self.holds: frozenset[Form] = getattr(engine, "holds", frozenset())
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0

    @property
    def engine_seconds(self) -> float:
        return self._time.busy

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        turn = self._time.join()
        try:
            answer = await self._engine.generate(prompt, sampling)
        finally:
            seconds = self._time.leave(turn)
        self.prompt_tokens += answer.prompt_tokens
        self.cached_tokens += answer.cached_tokens
        self.completion_tokens += len(answer.token_ids)
        return replace(answer, engine_seconds=seconds)
