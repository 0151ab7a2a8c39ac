"""Pooling engines that are no models: numbers by a rule, for the tests of what is around them."""

import asyncio
from typing import Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import EngineStats, Placement, Pooled


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class FakePooling:
    """Takes `seconds` for any number of requests. A score is the sum of the token ids in thousands, and an embedding
    counts the ids by their remainders of eight."""

    task: Literal["score", "embed"] = "score"
    seconds: float = 0.005
    max_num_seqs: int = 64
    max_model_len: int = 2048

    RUNTIME_ONLY = frozenset({"seconds", "max_num_seqs"})

    @property
    def concurrency(self):
        return self.max_num_seqs

    def placement(self, on_gpu, replicas_beside):
        return Placement(cpus=0)

    async def start(self):
        self._load = EngineStats(generated=0.0)

    async def pool(self, prompt):
        self._load.running += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self._load.running -= 1
        ids = np.asarray(prompt)
        values = [ids.sum() / 1000] if self.task == "score" else np.bincount(ids % 8, minlength=8)
        return Pooled(np.asarray(values, np.float32), len(prompt))

    def stats(self):
        return self._load

    async def stop(self): ...
