"""An engine behind a server with OpenAI's API: the common part of openai.py and openai_chat.py.

Promises: an error of one request ends one record, and only an error of the server is an EngineError
(synth/engines/patient_http.py); the key is read from the environment and written nowhere.

Knows nothing of chat templates, nor of the server's other clients.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Answer, EngineStats, FinishReason, Form, Placement, Sampling, Unusable
from synth.engines.patient_http import PatientHTTP, TooLong, Withheld
from synth.engines.price import Price
from synth.engines.rate_limit import RateLimit
from synth.engines.transports import LOOPBACK, Aiohttp, OpenAIClient
from synth.errors import nearest
from synth.models.model import Model

START_RETRIES = 2  # few: at the start a user is waiting, and an address may be mistyped
STOP_STRINGS = 4  # the limit of OpenAI's own API
ENDS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "repetition": "repetition",
}
# A test at the start: only a server that supports the form answers with this text. It is no object, in which a model
# may write white space without end.
_HELD = "held to a form"
HELD_TEXT: tuple[dict[str, Any], Any] = ({"type": "string", "enum": [_HELD]}, _HELD)
_DEFAULTS = Sampling()
_DETECTION = ("min_pattern_size", "max_pattern_size", "min_count")  # vLLM's fields of repetition_detection
_ALWAYS = ("temperature", "top_p")
Drawn = Literal[
    "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"
]  # keys of Sampling that servers know by the same names


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Remote:
    """One server at `base_url`, with at most `max_num_seqs` requests in flight.

    `served_model` is the model's name on the server, by default its path or name here. `dialect` is the set of fields
    that it knows beyond OpenAI's: vLLM's are sent in full, so that no default of the server affects the data.
    """

    path: ClassVar[str]  # of the API, below base_url
    transport: ClassVar[type[Aiohttp | OpenAIClient]] = Aiohttp
    tried_prompt: ClassVar[Any]  # for testing structured output, with so many tokens
    tried_tokens: ClassVar[int] = 32

    model: Model
    base_url: str = "http://127.0.0.1:8000/v1"
    served_model: str | None = None
    api_key_env: str | None = "OPENAI_API_KEY"
    dialect: Literal["auto", "vllm", "openai"] = "auto"
    max_num_seqs: Annotated[int, Field(gt=0)] = 256
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    max_retries: Annotated[int, Field(ge=0)] = 8
    price_per_million_tokens: Price | None = None

    # The same model at another address generates the same data: a server on a cluster moves from job to job.
    RUNTIME_ONLY: ClassVar[frozenset[str]] = frozenset(
        "base_url api_key_env max_num_seqs timeout_s max_retries price_per_million_tokens".split()
    )

    def __post_init__(self) -> None:
        # These values may contain a secret by mistake, so messages don't show them.
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("base_url: must be an address such as http://127.0.0.1:8000/v1")
        if "@" in url.netloc or url.query or url.fragment:
            raise ValueError("base_url: must have no user, password or query; put a key into the environment")
        if self.api_key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):
            raise ValueError("api_key_env: must be the name of an environment variable, not a key")
        self.base_url = self.base_url.rstrip("/")
        self._holds: frozenset[Form] = frozenset()
        self._name, self._speaks_vllm = self._names[0], self.dialect == "vllm"  # until `start`

    @property
    def concurrency(self) -> int:
        return self.max_num_seqs

    @property
    def holds(self) -> frozenset[Form]:
        """As the server has shown at the start."""
        return self._holds

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement:
        """Hardly anything. The key is not passed on: each machine has it in its own environment."""
        return Placement(cpus=0, env={"TOKENIZERS_PARALLELISM": "false"})

    def missing(self) -> str | None:
        """An error if the key is not set and the server is not local."""
        url = urlsplit(self.base_url)
        if self._key or self.api_key_env is None or url.scheme != "https" or url.hostname in LOOPBACK:
            return None
        return (
            f"engine.api_key_env: the environment variable {self.api_key_env} is not set, and {url.hostname} needs a "
            "key; set it, or set api_key_env=null for a server without keys"
        )

    async def start(self) -> None:
        """Query the server. Raises EngineError if it is unreachable or refuses, Unusable if it has no such model."""
        self._load = EngineStats()
        self._limit = RateLimit(self.max_num_seqs, self.base_url, self._load)
        link = self.transport(self.base_url, self._key)
        self._http = PatientHTTP(self.base_url, self._key, self.timeout_s, self._limit, link)
        try:
            await self._meet()
            self._holds = await self._shown_to_hold()
        except BaseException:
            await self._http.close()
            raise

    async def generate(self, prompt: Any, sampling: Sampling) -> Answer:
        """Raises EngineError if the server is unusable, another error for a single bad request."""
        try:
            completion = await self._http.post(self.path, self._body(prompt, sampling), self.max_retries)
        except Withheld as withheld:
            return Answer((), "stop", 0, withheld=str(withheld))
        except TooLong as too_long:
            return Answer((), "length", 0, too_long=str(too_long))
        return self._answer(completion, prompt, sampling)

    def stats(self) -> EngineStats:
        self._load.paused_s = self._limit.paused_s
        return self._load

    async def stop(self) -> None:
        await self._http.close()

    async def _meet(self) -> None:
        """Find the model on the server, and the fields that it knows."""
        raise NotImplementedError

    def _body(self, prompt: Any, sampling: Sampling) -> dict[str, Any]:
        """The JSON of a request."""
        raise NotImplementedError

    def _answer(self, completion: Any, prompt: Any, sampling: Sampling) -> Answer:
        """Parses the JSON of an answer."""
        raise NotImplementedError

    def _text(self, choice: Mapping[str, Any]) -> str:
        """The text in an answer's choice."""
        raise NotImplementedError

    async def _models(self) -> dict[str, Mapping[str, Any]]:
        """The server's models by name. Raises Unusable if it lists none."""
        listed = await self._http.get("/models", START_RETRIES)
        try:
            return {str(card["id"]): card for card in listed["data"]}
        except (KeyError, TypeError):
            raise Unusable(f"{self.base_url}/models lists no models; is it an OpenAI-compatible API?") from None

    def _find(self, served: Mapping[str, Any]) -> str:
        """This model's name on the server. Raises Unusable."""
        for name in self._names:
            if name in served:
                return name
        name = self._names[-1]
        hint = nearest(name, served) or f"; it serves {', '.join(list(served)[:10]) or 'nothing'}"
        raise Unusable(f"engine.served_model: {self.base_url} does not serve {name!r}{hint}")

    @property
    def _names(self) -> list[str]:
        return [self.served_model] if self.served_model else [self.model.path, str(self.model.name)]

    @property
    def _key(self) -> str:
        return os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""

    async def _shown_to_hold(self) -> frozenset[Form]:
        """Tests for structured output, since many servers ignore unknown fields."""
        forms: set[Form] = set()
        if await self._holds_json(*HELD_TEXT):
            forms.add("json")
        if self._speaks_vllm and await self._tried(choice=(_HELD,)) == _HELD:
            forms |= {"choice", "regex"}
        return frozenset(forms)

    async def _holds_json(self, schema: dict[str, Any], held: Any) -> bool:
        """Whether the answer is the only one that the schema permits."""
        try:
            return bool(json.loads(await self._tried(json_schema=schema)) == held)
        except ValueError:
            return False

    async def _tried(self, **form: Any) -> str:
        """The server's answer to a test of a form; empty if it refuses it."""
        sampling = Sampling(temperature=0.0, max_tokens=self.tried_tokens, **form)
        try:
            completion = await self._http.post(self.path, self._body(self.tried_prompt, sampling), START_RETRIES)
            return self._text(completion["choices"][0])
        except (ValueError, KeyError, IndexError, TypeError):
            return ""

    def _fields(self, sampling: Sampling) -> dict[str, Any]:
        """The fields that both APIs have."""
        body: dict[str, Any] = {"model": self._name}
        for name in get_args(Drawn):
            value = getattr(sampling, name)
            if self._speaks_vllm or name in _ALWAYS or value != getattr(_DEFAULTS, name):
                body[name] = value
        if sampling.seed is not None and sampling.temperature > 0:
            body["seed"] = sampling.seed
        if sampling.json_schema is not None:
            form = {"name": "answer", "schema": sampling.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif sampling.choice is not None:
            body["structured_outputs"] = {"choice": list(sampling.choice)}
        elif sampling.regex is not None:
            body["structured_outputs"] = {"regex": sampling.regex}
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self._speaks_vllm and sampling.repetition_detection and not sampling.form:
            detection = asdict(sampling.repetition_detection)
            body["repetition_detection"] = {name: detection[name] for name in _DETECTION}
        return body
