"""A server that speaks OpenAI's completions API: token ids out, an answer back.

The prompt goes to `/completions` as token ids and not to `/chat/completions`, because Magpie's prompts are no
conversations, and because what a record says is not to be tokenized anew. So the server must take token ids (vLLM,
SGLang and llama.cpp do), and must have the tokenizer that `model` names. openai_chat.py is for the others.
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
        """Continue `prompt`. Raises EngineError when the server is of no use, another error for one bad request."""
        if len(prompt) >= self.max_model_len:
            raise ValueError(f"a prompt of {len(prompt)} tokens: the server's model reads {self.max_model_len}")
        return await super().generate(prompt, sampling)

    async def _meet(self) -> None:
        served = await self._models()
        self._name = self._find(served)
        card = served[self._name]
        lengths = [one for one in (card.get("max_model_len"), self.model.max_model_len) if isinstance(one, int)]
        if not lengths:
            raise Unusable(f"{self.base_url} does not tell its context length: set model.max_model_len")
        self.max_model_len = min(lengths)
        self._speaks_vllm = self.dialect == "vllm" or (self.dialect == "auto" and card.get("owned_by") == "vllm")
        if not self._speaks_vllm:
            await asyncio.to_thread(lambda: self._tokenizer)  # seconds, which no record is to wait for

    def _body(self, prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        body = self._fields(sampling) | {
            "prompt": list(prompt),
            "max_tokens": min(sampling.max_tokens, self.max_model_len - len(prompt)),
        }
        if self._speaks_vllm:
            body |= {"stop_token_ids": list(sampling.stop_token_ids), "return_token_ids": True}
            return body | ({"logprobs": 1} if sampling.logprob else {})  # others may refuse the request for it
        # A server that ends at none but the model's own end of text may still know the others by their spelling.
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
            raise EngineError(f"{self.base_url}/completions answers in a form that is not OpenAI's") from None
        cached = int(details.get("cached_tokens") or 0)
        if ended == "content_filter":
            return Answer(token_ids or (), "stop", len(prompt), cached, withheld="content_filter")
        if ended not in ENDS:
            raise EngineError(f"{self.base_url} ended a request with finish_reason {self._http.line(repr(ended))}")
        if token_ids is None:
            token_ids = self._tokenizer.encode(text, add_special_tokens=False)  # to be counted: the text is what counts
        else:
            # Where a token ended it, one asked for or the model's own, it is the last.
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
    """The mean of a choice's log-probabilities, None where the server tells none."""
    told = choice.get("logprobs")
    found = [one for one in (told.get("token_logprobs") or ()) if one is not None] if isinstance(told, dict) else []
    return sum(found) / len(found) if found and all(isinstance(one, int | float) for one in found) else None
