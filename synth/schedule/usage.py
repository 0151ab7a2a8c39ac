"""Metering of an engine: the tokens of each call, and its fair share of the engine's time.

An engine runs `concurrency` requests at once, in order of arrival. At every moment its time and the tokens that it
writes are shared evenly among them. So the shares of all requests add up to the time in which the engine had requests,
and a request that waits in the queue costs nothing. This is a model of the engine, exact in the sum. The engine itself
provides one number: the tokens that it has generated so far.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from synth.engines import (
    Answer,
    Engine,
    Form,
    Pooled,
    PoolingEngine,
    Prompt,
    Sampling,
    Task,
    Watch,
    is_pooling,
    watching,
)


@dataclass(eq=False, slots=True)
class Share:
    """A request. `begun` is the time that a running request had accumulated when this one began to run, None before;
    `begun_tokens` the same in tokens."""

    begun: float | None = None
    begun_tokens: float = 0.0
    over: bool = False


class FairShareTime:
    """`join` when a request arrives, `leave` when it is answered or cancelled; `busy` is the time with any request, in
    seconds. `generated` returns the tokens that the engine has written so far, None if it does not count them."""

    def __init__(
        self,
        concurrency: int,
        now: Callable[[], float] = time.perf_counter,
        generated: Callable[[], float | None] = lambda: None,
    ):
        self._concurrency, self._now, self._generated = concurrency, now, generated
        self._then = now()
        self._tokens_then: float | None = None
        self._each = self._each_tokens = 0.0  # accumulated by a request that has been running all the time
        self._running = 0
        self._waiting: deque[Share] = deque()
        self._answered = 0
        self.busy = 0.0

    @classmethod
    def of(cls, engine: Engine | PoolingEngine) -> "FairShareTime":
        return cls(engine.concurrency, generated=lambda: engine.stats().generated)

    @property
    def counts(self) -> bool:
        """Whether the engine counts tokens while it writes them."""
        return self._generated() is not None

    def join(self) -> Share:
        self._pass()
        share = Share()
        self._waiting.append(share)
        self._admit()
        return share

    def leave(self, share: Share, tokens: int = 0) -> float:
        """End a request that was answered with so many tokens. Returns its seconds."""
        self._pass()
        self._answered += tokens
        share.over = True
        if share.begun is None:
            return 0.0
        self._running -= 1
        self._admit()
        return self._each - share.begun

    def written(self, shares: Iterable[Share]) -> float:
        """Tokens written for unanswered requests: their shares of the tokens since they began to run."""
        self._pass()
        return sum(max(0.0, self._each_tokens - share.begun_tokens) for share in shares if share.begun is not None)

    def _admit(self) -> None:
        while self._waiting and self._running < self._concurrency:
            share = self._waiting.popleft()
            if not share.over:
                share.begun, share.begun_tokens = self._each, self._each_tokens
                self._running += 1

    def _pass(self) -> None:
        now, generated = self._now(), self._generated()
        tokens = self._answered if generated is None else generated
        if self._running:
            self.busy += now - self._then
            self._each += (now - self._then) / self._running
            if self._tokens_then is not None:
                self._each_tokens += (tokens - self._tokens_then) / self._running
        self._then, self._tokens_then = now, tokens


class UsageMeter:
    """Meters an engine of either kind. A record's own count is available only when it is finished. Tokens are counted
    while they are written if the engine reports them, else at the end of a call.

    Pass `time` if others call the same engine."""

    def __init__(self, engine: Any, time: FairShareTime | None = None):
        self._engine = engine
        self._time = time or FairShareTime.of(engine)
        self._turns: set[Share] = set()
        self._answered = 0
        self.max_model_len = engine.max_model_len
        self.holds: frozenset[Form] = getattr(engine, "holds", frozenset())
        self.prompt_tokens = self.cached_tokens = 0
        self.form_seconds = 0.0  # of structured outputs

    @property
    def engine_seconds(self) -> float:
        return self._time.busy

    @property
    def completion_tokens(self) -> int:
        """The tokens of finished answers, and those of unfinished ones so far."""
        return self._answered + (round(self.written(self._turns)) if self._time.counts else 0)

    def written(self, shares: Iterable[Share]) -> float:
        return self._time.written(shares)

    def of_a_record(self) -> "RecordUsage":
        return RecordUsage(self)

    async def generate(
        self, prompt: Prompt, sampling: Sampling, shares: set[Share], watch: Watch | None = None
    ) -> Answer:
        """The request's share is in the record's `shares` until it is answered."""
        share, tokens, seconds = self._time.join(), 0, 0.0
        self._turns.add(share)
        shares.add(share)
        try:
            answer: Answer = await self._engine.generate(prompt, sampling, **watching(self._engine, watch))
            tokens = answer.completion_tokens
        finally:
            seconds = self._time.leave(share, tokens)
            self._turns.discard(share)
            shares.discard(share)
        self.prompt_tokens += answer.prompt_tokens
        self.cached_tokens += answer.cached_tokens
        self._answered += tokens
        if sampling.form:
            self.form_seconds += seconds
        return replace(answer, engine_seconds=seconds)

    async def pool(self, prompt: Sequence[int]) -> Pooled:
        share, seconds = self._time.join(), 0.0
        try:
            pooled: Pooled = await self._engine.pool(prompt)
        finally:
            seconds = self._time.leave(share)
        self.prompt_tokens += pooled.prompt_tokens
        self.cached_tokens += pooled.cached_tokens
        return replace(pooled, engine_seconds=seconds)

    @property
    def task(self) -> Task | None:
        """The task of a pooling engine, None for others."""
        return getattr(self._engine, "task", None) if is_pooling(self._engine) else None


class RecordUsage:
    """A Generator: the engine for one record. `written` is the record's tokens so far."""

    def __init__(self, meter: UsageMeter):
        self._meter = meter
        self._turns: set[Share] = set()
        self._answered = 0
        self.max_model_len, self.holds = meter.max_model_len, meter.holds

    async def generate(self, prompt: Prompt, sampling: Sampling, watch: Watch | None = None) -> Answer:
        answer = await self._meter.generate(prompt, sampling, self._turns, watch)
        self.count(answer)
        return answer

    def count(self, answer: Answer) -> None:
        """Add an answer to the record's count, new or from a checkpoint."""
        self._answered += answer.completion_tokens

    @property
    def written(self) -> float:
        return self._answered + self._meter.written(self._turns)
