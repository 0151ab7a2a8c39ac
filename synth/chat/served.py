"""A conversation with a model whose server has the chat template: what is left to do here is nothing but to pass it on.

Stands where a ChatTemplate does for a model whose tokenizer is here.
"""

from collections.abc import Sequence
from typing import Any, Literal

from synth.chat.reasoning import Reasoning
from synth.chat.tags import DEFAULT
from synth.chat.tool_calls import Tools, in_words
from synth.tool_calls import has_calls

Messages = Sequence[dict[str, Any]]


class ServedChat:
    """`reasoning` are the two texts between which the model thinks, `auto` the usual ones; None: it does not."""

    def __init__(self, reasoning: tuple[str, str] | Literal["auto"] | None = "auto"):
        tags = DEFAULT if reasoning == "auto" else reasoning
        # A server's template may open the thoughts, and its answer then begins inside them.
        self._reasoning = Reasoning(*tags, is_token=True) if tags else None

    def encode(self, messages: Messages, add_generation_prompt: bool = True, tools: Tools = ()) -> Messages:
        """The messages as they are; tools and their calls in words, which every server takes."""
        if tools or has_calls(messages):
            return in_words(messages, tools)
        return messages

    def spelled(self, messages: Messages) -> str:
        """For people to read."""
        return "\n".join(f"{message['role']}: {message['content']}" for message in messages)

    def without_reasoning(self, text: str) -> str:
        """An earlier answer without its thoughts."""
        return self.split(text)[1]

    def split(self, text: str) -> tuple[str | None, str]:
        """The thoughts that a server has left in an answer's text, None without any, and the rest."""
        return self._reasoning.split(text) if self._reasoning else (None, text)
