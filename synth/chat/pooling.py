"""What a model reads that scores or embeds: a text as its tokenizer has it, or a conversation by the chat template.

Promises: a text has the tokenizer's own special tokens around it, as transformers puts them, and keeps its beginning
where it is too long. A conversation is written as ChatTemplate writes it, without the heading of a further answer, and
keeps its end.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from synth.chat.conversation import ChatTemplate, Messages


class PoolingInput:
    """`template` makes the chat template, which many of these models lack: it is read at the first conversation."""

    def __init__(self, tokenizer: Any, template: Callable[[], ChatTemplate]):
        self._tokenizer, self._make = tokenizer, template

    def text(self, text: str, limit: int) -> list[int]:
        return list(self._tokenizer(text, truncation=True, max_length=limit)["input_ids"])

    def conversation(self, messages: Messages, limit: int) -> list[int]:
        """Raises ChatTemplateError where there is no template, or it refuses the conversation."""
        return self.template.encode(messages, add_generation_prompt=False)[-limit:]

    @cached_property
    def template(self) -> ChatTemplate:
        """Raises ChatTemplateError."""
        return self._make()
