"""A conversation with a model whose server applies the chat template: messages are passed on.

Takes the place of a ChatTemplate, which needs the tokenizer.
"""

from collections.abc import Sequence
from typing import Any, Literal

from synth.chat.reasoning import Reasoning
from synth.chat.tags import DEFAULT
from synth.chat.tool_calls import Tools, in_words
from synth.tool_calls import has_calls

Messages = Sequence[dict[str, Any]]


class ServedChat:
    """`reasoning` are the two texts around the model's reasoning, `auto` the usual ones; None: it has none."""

    def __init__(self, reasoning: tuple[str, str] | Literal["auto"] | None = "auto"):
        tags = DEFAULT if reasoning == "auto" else reasoning
        # A server's template may open the reasoning, and the output then begins inside it.
        self._reasoning = Reasoning(*tags, is_token=True) if tags else None

    def encode(self, messages: Messages, add_generation_prompt: bool = True, tools: Tools = ()) -> Messages:
        """The messages unchanged; tools and their calls as text, which every server accepts."""
        if tools or has_calls(messages):
            return in_words(messages, tools)
        return messages

    def spelled(self, messages: Messages) -> str:
        """For display."""
        return "\n".join(f"{message['role']}: {message['content']}" for message in messages)

    def without_reasoning(self, text: str) -> str:
        """An earlier answer without its reasoning."""
        return self.split(text)[1]

    def split(self, text: str) -> tuple[str | None, str]:
        """The reasoning that a server has left in an answer's text, None without any, and the answer."""
        return self._reasoning.split(text) if self._reasoning else (None, text)
