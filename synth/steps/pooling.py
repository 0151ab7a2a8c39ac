"""A model of the run that scores or embeds, and how its prompts are encoded."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from synth.chat import PoolingInput
from synth.engines import Pooler

Messages = Sequence[dict[str, str]]
LONG = 50_000  # characters; encoding them takes about 20 ms


@dataclass(frozen=True, slots=True)
class PoolingEndpoint:
    """The engine, the encoding of its prompts, and the model's name."""

    engine: Pooler
    input: PoolingInput
    model: str

    async def encode(self, given: str | Messages) -> list[int]:
        """At most as many tokens as the model reads: the first of a text, the last of a conversation. Raises
        ChatTemplateError."""
        limit = self.engine.max_model_len
        if isinstance(given, str):
            long = len(given) > LONG
            return await asyncio.to_thread(self.input.text, given, limit) if long else self.input.text(given, limit)
        long = sum(len(str(message.get("content"))) for message in given) > LONG
        encode = self.input.conversation
        return await asyncio.to_thread(encode, given, limit) if long else encode(given, limit)
