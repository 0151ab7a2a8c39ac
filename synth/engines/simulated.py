"""A simulated engine without a model: random words after simulated delays.

For trying a cluster, the shape of a strategy, or the scheduler at large scale. The same seed gives the same words,
lengths and finish reasons, whatever runs beside it. Its output is not worth training on.
"""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import WATCHED_EVERY, Answer, EngineStats, FinishReason, Placement, Sampling, Watch

_WORDS = "amber birch cedar delta ember fjord grove haven ivory jetty knoll lemon maple north ocean pearl".split()


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Simulated:
    """Runs up to `max_num_seqs` requests at once, each with a delay for the first token and then `tokens_per_second`.

    Lengths, in tokens, are log-normal around `median_tokens` with shape `sigma`, cut at max_tokens.
    """

    max_num_seqs: Annotated[int, Field(gt=0)] = 256
    tokens_per_second: Annotated[float, Field(gt=0)] = 40.0
    first_token_s: Annotated[float, Field(ge=0)] = 0.05
    median_tokens: Annotated[int, Field(gt=0)] = 120
    sigma: Annotated[float, Field(ge=0)] = 0.8
    max_model_len: Annotated[int, Field(gt=0)] = 8192

    RUNTIME_ONLY: ClassVar[frozenset[str]] = frozenset({"max_num_seqs", "tokens_per_second", "first_token_s"})

    @property
    def concurrency(self) -> int:
        return self.max_num_seqs

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement:
        return Placement(cpus=0)

    async def start(self) -> None:
        self._slots = asyncio.Semaphore(self.max_num_seqs)
        self._load = EngineStats(generated=0.0)
        self._rate = 0.0  # tokens/s of all running requests
        self._then = time.monotonic()

    async def generate(self, prompt: Sequence[int], sampling: Sampling, watch: Watch | None = None) -> Answer:
        rng = random.Random(sampling.seed if sampling.seed is not None else repr(list(prompt)))
        wanted = max(1, round(self.median_tokens * math.exp(rng.gauss(0, self.sigma))))
        length = min(wanted, sampling.max_tokens, self.max_model_len - len(prompt))
        end: FinishReason = "stop" if length == wanted else "length"
        token_ids = self._words(rng, length)
        if watch:
            looks = range(WATCHED_EVERY, length, WATCHED_EVERY)
            aborted = next((at for at in looks if watch(token_ids[:at], self._text(token_ids[:at]))), None)
            token_ids, end = token_ids[:aborted], end if aborted is None else "abort"
        load = self._load
        load.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            load.waiting -= 1
        load.running += 1
        seconds = self.first_token_s + len(token_ids) / self.tokens_per_second
        rate = len(token_ids) / seconds
        self._speed_up(rate)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._speed_up(-rate)
            load.running -= 1
            self._slots.release()
        return Answer(token_ids, end, len(prompt), text=self._text(token_ids))

    def _words(self, rng: random.Random, count: int) -> list[int]:
        """Token ids, one per word."""
        return rng.choices(range(len(_WORDS)), k=count)

    def _text(self, token_ids: Sequence[int]) -> str:
        return " ".join(_WORDS[id] for id in token_ids)

    def stats(self) -> EngineStats:
        self._speed_up(0.0)
        return self._load

    def _speed_up(self, rate: float) -> None:
        now = time.monotonic()
        self._load.generated = (self._load.generated or 0.0) + self._rate * (now - self._then)
        self._rate, self._then = self._rate + rate, now

    async def stop(self) -> None:
        """Nothing to release."""
