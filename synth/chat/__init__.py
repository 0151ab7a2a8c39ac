"""A tokenizer's chat template as token ids: prompts, pre-query prompts and stop tokens, for any model.

There is no table of models: everything is derived from the tokenizer and its template.
"""

from synth.chat.conversation import ChatTemplate
from synth.chat.pooling import PoolingInput
from synth.chat.rendering import ChatTemplateError
from synth.chat.served import ServedChat
from synth.chat.stops import Stop

__all__ = ["ChatTemplate", "ChatTemplateError", "PoolingInput", "ServedChat", "Stop"]
