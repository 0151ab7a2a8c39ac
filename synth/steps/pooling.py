"""Where a model of the run is asked for a score or an embedding, and what it is asked with."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from synth.chat import PoolingInput
from synth.engines import Pooler

Messages = Sequence[dict[str, str]]
LONG = 50_000  # characters, which take about 20 ms to encode


@dataclass(frozen=True, slots=True)
class PoolingEndpoint:
    """The engine, how its prompts are written, and the model's name."""

    engine: Pooler
    input: PoolingInput
    model: str

    async def encode(self, given: str | Messages) -> list[int]:
        """No more tokens than the model reads: the first of a text, the last of a conversation. Raises
        ChatTemplateError."""
        limit = self.engine.max_model_len
        if isinstance(given, str):
            long = len(given) > LONG
            return await asyncio.to_thread(self.input.text, given, limit) if long else self.input.text(given, limit)
        long = sum(len(str(message.get("content"))) for message in given) > LONG
        encode = self.input.conversation
        return await asyncio.to_thread(encode, given, limit) if long else encode(given, limit)
