"""The input of a model that scores or embeds: a text by its tokenizer, or a conversation by its chat template.

Promises: a text has the tokenizer's own special tokens, as in Transformers, and is truncated at its end. A conversation
is as from ChatTemplate, without the heading of a further answer, and is truncated at its beginning.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from synth.chat.conversation import ChatTemplate, Messages


class PoolingInput:
    """`template` creates the chat template, which many of these models lack, at the first conversation."""

    def __init__(self, tokenizer: Any, template: Callable[[], ChatTemplate]):
        self._tokenizer, self._make = tokenizer, template

    def text(self, text: str, limit: int) -> list[int]:
        return list(self._tokenizer(text, truncation=True, max_length=limit)["input_ids"])

    def conversation(self, messages: Messages, limit: int) -> list[int]:
        """Raises ChatTemplateError if there is no template, or if it refuses the conversation."""
        return self.template.encode(messages, add_generation_prompt=False)[-limit:]

    @cached_property
    def template(self) -> ChatTemplate:
        """Raises ChatTemplateError."""
        return self._make()
