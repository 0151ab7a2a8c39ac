"""The models of a run as steps call them: an engine, how its prompts are encoded, and the model's name.

An `Endpoint` generates text; a `PoolingEndpoint` scores or embeds. Both are told apart by their type, before a request.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from synth.chat import ChatTemplate, PoolingInput, ServedChat
from synth.engines import Form, Generator, Pooler

Messages = Sequence[dict[str, str]]

MAIN = "main"  # the model of the keys `model` and `engine`
LONG = 50_000  # characters; encoding them takes about 20 ms


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model that generates text: its engine, its chat template, and its name in the dataset."""

    engine: Generator
    template: ChatTemplate | ServedChat
    model: str

    @property
    def holds(self) -> frozenset[Form]:
        """The forms of structured output that the engine supports."""
        return getattr(self.engine, "holds", frozenset())


@dataclass(frozen=True, slots=True)
class PoolingEndpoint:
    """A model that scores or embeds: its engine, the encoding of its prompts, and its name."""

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
        encode = self.input.conversation
        return await asyncio.to_thread(encode, given, limit) if is_long(given) else encode(given, limit)


def is_long(messages: Messages) -> bool:
    """Whether encoding the messages takes so long that it should not block the event loop."""
    return sum(len(str(message.get("content"))) for message in messages) > LONG
