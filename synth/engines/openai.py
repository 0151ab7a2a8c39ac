"""An engine behind OpenAI's completions API: sends token ids.

The prompt goes to `/completions` as token ids, not to `/chat/completions`: Magpie's prompts are no conversations, and
the text of a record must not be tokenized again. So the server must accept token ids (vLLM, SGLang and llama.cpp do),
and must have the tokenizer of `model`. openai_chat.py is for other servers.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Answer, EngineError, Sampling, Unusable
from synth.engines.remote import ENDS, STOP_STRINGS, Remote


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class OpenAI(Remote):
    """Fields are the keys of conf/engine/openai.yaml."""

    path: ClassVar[str] = "/completions"
    tried_prompt: ClassVar[Any] = [0]

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        """Continue `prompt`. Raises EngineError if the server is unusable, another error for a single bad request."""
        if len(prompt) >= self.max_model_len:
            raise ValueError(f"the prompt has {len(prompt)} tokens, the server's model takes {self.max_model_len}")
        return await super().generate(prompt, sampling)

    async def _meet(self) -> None:
        served = await self._models()
        self._name = self._find(served)
        card = served[self._name]
        lengths = [one for one in (card.get("max_model_len"), self.model.max_model_len) if isinstance(one, int)]
        if not lengths:
            raise Unusable(f"{self.base_url} does not report its context length: set model.max_model_len")
        self.max_model_len = min(lengths)
        self._speaks_vllm = self.dialect == "vllm" or (self.dialect == "auto" and card.get("owned_by") == "vllm")
        if not self._speaks_vllm:
            await asyncio.to_thread(lambda: self._tokenizer)  # takes seconds; load it before the first record

    def _body(self, prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        body = self._fields(sampling) | {
            "prompt": list(prompt),
            "max_tokens": min(sampling.max_tokens, self.max_model_len - len(prompt)),
        }
        if self._speaks_vllm:
            body |= {"stop_token_ids": list(sampling.stop_token_ids), "return_token_ids": True}
            return body | ({"logprobs": 1} if sampling.logprob else {})  # others may refuse the field
        # A server that stops only at the model's own end of text may still know the other stop tokens as strings.
        room = max(0, STOP_STRINGS - len(sampling.stop))
        stop = [*sampling.stop, *(self._tokenizer.decode([id]) for id in sampling.stop_token_ids[:room])]
        return body | ({"stop": stop} if stop else {})

    def _text(self, choice: Mapping[str, Any]) -> str:
        return str(choice["text"])

    def _answer(self, completion: Any, prompt: Sequence[int], sampling: Sampling) -> Answer:
        try:
            choice = completion["choices"][0]
            text, ended, token_ids = choice["text"], choice["finish_reason"], choice.get("token_ids")
            details = (completion.get("usage") or {}).get("prompt_tokens_details") or {}
        except (KeyError, IndexError, TypeError, AttributeError):
            raise EngineError(f"{self.base_url}/completions answers in a format that is not OpenAI's") from None
        cached = int(details.get("cached_tokens") or 0)
        if ended == "content_filter":
            return Answer(token_ids or (), "stop", len(prompt), cached, withheld="content_filter")
        if ended not in ENDS:
            raise EngineError(f"{self.base_url} ended a request with finish_reason {self._http.line(repr(ended))}")
        if token_ids is None:
            token_ids = self._tokenizer.encode(text, add_special_tokens=False)  # only to count them
        else:
            # If a stop token ended it, it is the last one.
            if token_ids and ended == "stop" and not isinstance(choice.get("stop_reason"), str):
                token_ids = token_ids[:-1]
            text = text if sampling.stop else None
        return Answer(token_ids, ENDS[ended], len(prompt), cached, text, logprob=_logprob(choice))

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            self.model.tokenizer or self.model.path, revision=self.model.revision, trust_remote_code=False
        )


def _logprob(choice: Mapping[str, Any]) -> float | None:
    """The mean of a choice's log-probabilities, None if the server reports none."""
    logprobs = choice.get("logprobs")
    found = (
        [one for one in (logprobs.get("token_logprobs") or ()) if one is not None] if isinstance(logprobs, dict) else []
    )
    return sum(found) / len(found) if found and all(isinstance(value, int | float) for value in found) else None
