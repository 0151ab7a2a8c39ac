"""The keys of a request's body: which are honoured, which change no answer, and which are refused.

Every key that would change the answer is honoured or refused, so that no request is answered differently from what it
asks. A key that is null counts as not given.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from synth.batch.refused import Refused
from synth.errors import nearest

# Keys of Sampling that have the same name and meaning in OpenAI's API or in vLLM's.
SAMPLED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "stop_token_ids",
)
_OWN = (
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "chat_template_kwargs",
    "thinking_token_budget",
)
_WITHOUT_EFFECT = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "priority",
    "request_id",
    "include_reasoning",
)
# Keys that are accepted with a value that changes nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "stream": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "echo": (False,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "add_special_tokens": (False,),
    "include_stop_str_in_output": (False,),
    "ignore_eos": (False,),
    "min_tokens": (0,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "use_beam_search": (False,),
    "length_penalty": (1, 1.0),
    "bad_words": ([],),
    "stream_options": (),
    "functions": (),
    "function_call": (),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "verbosity": (),
    "prompt_logprobs": (),
    "logprob_token_ids": (),
    "allowed_token_ids": (),
    "truncate_prompt_tokens": (),
    "structured_outputs": (),
    "documents": (),
    "best_of": (1,),
    "suffix": ("",),
    "chat_template": (),
    "mm_processor_kwargs": (),
}
KEYS = (*_OWN, *SAMPLED)
TEXT_KEYS = ("model", "prompt", "max_tokens", "n", "response_format", *SAMPLED)


def known_keys(body: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """The keys that are given. Raises Refused for one that is unknown, or not supported."""
    given = {key: value for key, value in body.items() if value is not None}
    for key, value in given.items():
        if key not in keys and key not in _WITHOUT_EFFECT:
            _refuse_unless_neutral(key, value, keys)
    return given


def _refuse_unless_neutral(key: str, value: Any, keys: Collection[str]) -> None:
    if key not in _NEUTRAL:
        raise Refused("unknown_parameter", f"{key}: no such key{nearest(key, (*keys, *_NEUTRAL))}", key)
    if not any(value == one and type(value) is type(one) for one in _NEUTRAL[key]):
        raise Refused("unsupported_parameter", f"{key}: {shown(value)} is not supported; leave it out", key)


def shown(value: Any) -> str:
    """A value for a message, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:40]}…"
