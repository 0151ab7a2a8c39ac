"""A server that speaks OpenAI's completions API: token ids out, an answer back.

The prompt goes to `/completions` as token ids and not to `/chat/completions`, because Magpie's prompts are no
conversations, and because what a record says is not to be tokenized anew. So the server must take token ids (vLLM,
SGLang and llama.cpp do), and must have the tokenizer that `model` names.

Promises: what is wrong with one request ends one record, and only what is wrong with the server is an EngineError
(synth/engines/patient_http.py); the key is read from the environment and written nowhere.

Knows nothing of chat templates, nor of what else the server is doing.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components import nearest
from synth.engines import Answer, EngineError, Form, Load, Placement, Sampling, Unusable
from synth.model import Model

START_RETRIES = 2  # at the start somebody is waiting for an answer, and an address may be mistyped
STOP_STRINGS = 4  # as many as OpenAI's own API takes
_ENDS: dict[str, Literal["stop", "length"]] = {
    "stop": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
}
# What a server is asked once, at the start: only one that holds its answers to a form gives this. It is no object, into
# which a model may write blank space without end.
_HELD = "held to a form"
_DEFAULTS = Sampling()
_ALWAYS = ("temperature", "top_p")
_SOMETIMES = ("top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class OpenAI:
    """One server at `base_url`, with `max_num_seqs` requests in flight. Fields are the keys of conf/engine/openai.yaml.

    `served_model` is the model's name at the server, by default its path or name here. `dialect` says which fields
    it knows beyond OpenAI's own: vLLM's are sent in full, so that no default of the server's gets into the data.
    """

    model: Model
    base_url: str = "http://127.0.0.1:8000/v1"
    served_model: str | None = None
    api_key_env: str | None = "OPENAI_API_KEY"
    dialect: Literal["auto", "vllm", "openai"] = "auto"
    max_num_seqs: Annotated[int, Field(gt=0)] = 256
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    max_retries: Annotated[int, Field(ge=0)] = 8

    # The same model at another address makes the same data: a server on a cluster moves from job to job.
    HARMLESS: ClassVar[frozenset[str]] = frozenset("base_url api_key_env max_num_seqs timeout_s max_retries".split())

    def __post_init__(self) -> None:
        # These values may have a secret in them by mistake, so no message shows them.
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("base_url: must be an address such as http://127.0.0.1:8000/v1")
        if "@" in url.netloc or url.query or url.fragment:
            raise ValueError("base_url: must hold no user, password or query; a key belongs into the environment")
        if self.api_key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):
            raise ValueError("api_key_env: must be the name of an environment variable, not a key")
        self.base_url = self.base_url.rstrip("/")
        self._holds: frozenset[Form] = frozenset()

    @property
    def concurrency(self) -> int:
        return self.max_num_seqs

    @property
    def holds(self) -> frozenset[Form]:
        """As the server has shown when this was started."""
        return self._holds

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement:
        """Hardly anything. The key is not passed on here: each machine has it in its own environment."""
        return Placement(cpus=0, env={"TOKENIZERS_PARALLELISM": "false"})

    async def start(self) -> None:
        """Ask the server what it serves. Raises EngineError where it is away or refuses, Unusable where it has no such
        model."""
        from synth.engines.patient_http import PatientHTTP

        self._slots = asyncio.Semaphore(self.max_num_seqs)
        self._load = Load()
        key = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        self._http = PatientHTTP(self.base_url, key, self.timeout_s)
        try:
            served = await self._models()
            self._name = self._find(served)
            card = served[self._name]
            lengths = [one for one in (card.get("max_model_len"), self.model.max_model_len) if isinstance(one, int)]
            if not lengths:
                raise Unusable(f"{self.base_url} does not tell its context length: set model.max_model_len")
        except BaseException:
            await self._http.close()
            raise
        self.max_model_len = min(lengths)
        self._speaks_vllm = self.dialect == "vllm" or (self.dialect == "auto" and card.get("owned_by") == "vllm")
        if not self._speaks_vllm:
            await asyncio.to_thread(lambda: self._tokenizer)  # seconds, which no record is to wait for
        try:
            self._holds = await self._shown_to_hold()
        except BaseException:
            await self._http.close()
            raise

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        """Continue `prompt`. Raises EngineError when the server is of no use, another error for one bad request."""
        if len(prompt) >= self.max_model_len:
            raise ValueError(f"a prompt of {len(prompt)} tokens: the server's model reads {self.max_model_len}")
        self._load.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._load.waiting -= 1
        self._load.running += 1
        try:
            completion = await self._http.post("/completions", self._body(prompt, sampling), self.max_retries)
        finally:
            self._load.running -= 1
            self._slots.release()
        return self._answer(completion, prompt, sampling)

    def load(self) -> Load:
        return self._load

    async def stop(self) -> None:
        await self._http.close()

    async def _models(self) -> dict[str, Mapping[str, Any]]:
        told = await self._http.get("/models", START_RETRIES)
        try:
            return {str(card["id"]): card for card in told["data"]}
        except (KeyError, TypeError):
            raise Unusable(f"{self.base_url}/models lists no models: is this an OpenAI-compatible API?") from None

    async def _shown_to_hold(self) -> frozenset[Form]:
        """Many a server takes a field that it does not know, and answers as if it were not there."""
        forms: set[Form] = set()
        schema = {"type": "string", "enum": [_HELD]}
        if (await self._tried(Sampling(temperature=0.0, max_tokens=32, json_schema=schema))).strip() == f'"{_HELD}"':
            forms.add("json")
        if self._speaks_vllm and await self._tried(Sampling(temperature=0.0, max_tokens=32, choice=(_HELD,))) == _HELD:
            forms |= {"choice", "regex"}
        return frozenset(forms)

    async def _tried(self, sampling: Sampling) -> str:
        """What the server makes of a form. Nothing where it refuses it."""
        try:
            completion = await self._http.post("/completions", self._body([0], sampling), START_RETRIES)
            return str(completion["choices"][0]["text"])
        except (ValueError, KeyError, IndexError, TypeError):
            return ""

    def _find(self, served: Mapping[str, Any]) -> str:
        wanted = [self.served_model] if self.served_model else [self.model.path, str(self.model.name)]
        for name in wanted:
            if name in served:
                return name
        hint = nearest(wanted[-1], served) or f"; it serves {', '.join(list(served)[:10]) or 'nothing'}"
        raise Unusable(f"engine.served_model: {self.base_url} serves no {wanted[-1]!r}{hint}")

    def _body(self, prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._name,
            "prompt": list(prompt),
            "max_tokens": min(sampling.max_tokens, self.max_model_len - len(prompt)),
        }
        for name in (*_ALWAYS, *_SOMETIMES):
            value = getattr(sampling, name)
            if self._speaks_vllm or name in _ALWAYS or value != getattr(_DEFAULTS, name):
                body[name] = value
        if sampling.seed is not None and sampling.temperature > 0:
            body["seed"] = sampling.seed
        if sampling.logprob and self._speaks_vllm:  # others may refuse the request for it
            body["logprobs"] = 1
        if sampling.json_schema is not None:
            form = {"name": "answer", "schema": sampling.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif sampling.choice is not None:
            body["structured_outputs"] = {"choice": list(sampling.choice)}
        elif sampling.regex is not None:
            body["structured_outputs"] = {"regex": sampling.regex}
        stop = list(sampling.stop)
        if self._speaks_vllm:
            body |= {"stop_token_ids": list(sampling.stop_token_ids), "return_token_ids": True}
        else:
            # A server that ends at none but the model's own end of text may still know the others by their spelling.
            stop += [self._tokenizer.decode([id]) for id in sampling.stop_token_ids][: max(0, STOP_STRINGS - len(stop))]
        return body | ({"stop": stop} if stop else {})

    def _answer(self, completion: Any, prompt: Sequence[int], sampling: Sampling) -> Answer:
        try:
            choice = completion["choices"][0]
            text, ended, token_ids = choice["text"], choice["finish_reason"], choice.get("token_ids")
            details = (completion.get("usage") or {}).get("prompt_tokens_details") or {}
        except (KeyError, IndexError, TypeError, AttributeError):
            raise EngineError(f"{self.base_url}/completions answers in a form that is not OpenAI's") from None
        if ended == "content_filter":
            raise ValueError("the server withheld its answer: content_filter")
        if ended not in _ENDS:
            raise EngineError(f"{self.base_url} ended a request with finish_reason {self._http.line(repr(ended))}")
        if token_ids is None:
            token_ids = self._tokenizer.encode(text, add_special_tokens=False)  # to be counted: the text is what counts
        else:
            # Where a token ended it, one asked for or the model's own, it is the last.
            if token_ids and ended == "stop" and not isinstance(choice.get("stop_reason"), str):
                token_ids = token_ids[:-1]
            text = text if sampling.stop else None
        cached = int(details.get("cached_tokens") or 0)
        return Answer(token_ids, _ENDS[ended], len(prompt), cached, text, logprob=_logprob(choice))

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
