"""An engine behind OpenAI's chat API: sends conversations.

The server has the tokenizer and the chat template. So it can't be sent prompts that are no conversations, such as
Magpie's pre-query (synth/configuration/combinations.py refuses that); and roles can't be forged, because messages are
JSON. Requests use OpenAI's own client, with which other APIs are compatible.

Servers differ in the fields that they accept. An error names a refused field and the key that omits it; no field is
omitted silently, because that would change the data.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import GIVEN, Answer, EngineError, Form, Reads, Sampling, Unavailable, Unusable
from synth.engines.patient_http import TooLong, Withheld
from synth.engines.remote import ENDS, HELD_TEXT, START_RETRIES, Drawn, Remote
from synth.engines.transports import Aiohttp, OpenAIClient

log = logging.getLogger(__name__)

Message = Mapping[str, str]
Omitted = Literal[Drawn, "seed", "stop", "response_format"]

UNKNOWN_LENGTH = 2**31  # tokens: the server knows, and refuses longer prompts
SEEDS = 2**31  # many servers accept no larger ones
_WITHHELD = ("content_filter", "refusal", "tool_calls", "function_call")
_GREETING = [{"role": "user", "content": "Hello"}]
_SWITCHES = ("enable_thinking", "thinking")  # variables of chat templates; a template ignores unknown ones
_LIKE_VLLM = ("sglang", "llamacpp")  # other servers that accept chat_template_kwargs, as they identify themselves
_NEWER_LIMIT = "max_completion_tokens"  # OpenAI's name of max_tokens for reasoning models
# In strict mode OpenAI accepts objects only. Synth's own steps use such a bound on a text's length.
_HELD_OBJECT: tuple[dict[str, Any], Any] = (
    {
        "type": "object",
        "properties": {"form": HELD_TEXT[0] | {"maxLength": 200}},
        "required": ["form"],
        "additionalProperties": False,
    },
    {"form": HELD_TEXT[1]},
)


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class OpenAIChat(Remote):
    """Fields are the keys of conf/engine/openai_chat.yaml. `omit` are fields that are not sent, so that the server's
    defaults apply; `extra` are additional fields of each request."""

    base_url: str = "https://api.openai.com/v1"
    max_num_seqs: Annotated[int, Field(gt=0)] = 64
    omit: list[Omitted] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    reads: ClassVar[Reads] = "messages"
    path: ClassVar[str] = "/chat/completions"
    transport: ClassVar[type[Aiohttp | OpenAIClient]] = OpenAIClient
    tried_prompt: ClassVar[Any] = _GREETING
    tried_tokens: ClassVar[int] = 1024  # a reasoning model's reasoning counts

    async def generate(self, prompt: Sequence[Message], sampling: Sampling) -> Answer:
        """Answer the conversation. Raises EngineError if the server is unusable, another error for a single request."""
        try:
            return await super().generate(prompt, sampling)
        except ValueError as error:
            raise ValueError(f"{error}{self._hint(str(error))}") from None

    async def greet(self, sampling: Sampling) -> None:
        """Send a test request with `sampling`, without its form. Raises ValueError if the server refuses it,
        RuntimeError if it fails."""
        tokens = min(sampling.max_tokens, self.tried_tokens)
        asked = replace(sampling, max_tokens=tokens, seed=1, json_schema=None, choice=None, regex=None)
        try:
            await self._http.post(self.path, self._body(_GREETING, asked), START_RETRIES)
        except (Withheld, TooLong):
            pass  # withheld for its content, whatever that is
        except ValueError as error:
            raise ValueError(f"{error}{self._hint(str(error))}") from None

    async def _meet(self) -> None:
        """Finds the model by a test request: some servers have no list of models, or an incomplete one."""
        self._strict, self._limit_name = False, "max_tokens"
        self.max_model_len = self.model.max_model_len or UNKNOWN_LENGTH
        try:
            served = await self._models()
        except Unusable:
            served = {}
        self._name = next((name for name in self._names if name in served), self._names[0])
        if self.dialect == "auto":
            self._speaks_vllm = served.get(self._name, {}).get("owned_by") == "vllm"
        owner = served.get(self._name, {}).get("owned_by")
        self._takes_template_kwargs = self._speaks_vllm or bool(self.model.template_kwargs) or owner in _LIKE_VLLM
        try:
            completion = await self._greeted()
            self._answer(completion, _GREETING, Sampling())
        except Unavailable:
            raise
        except (EngineError, ValueError, RuntimeError) as error:
            if served and self._name not in served:
                self._find(served)  # raises with the list of models
            raise Unusable(f"{error}{self._hint(str(error))}") from None
        if self.price_per_million_tokens and not completion.get("usage"):
            raise Unusable(f"engine.price_per_million_tokens: {self.base_url} does not report the number of tokens")

    async def _greeted(self) -> Any:
        """The answer to a test request with all fields that every request has."""
        sampling = Sampling(max_tokens=self.tried_tokens, seed=1)
        try:
            return await self._http.post(self.path, self._body(_GREETING, sampling), START_RETRIES)
        except ValueError as error:
            if _NEWER_LIMIT not in str(error):
                raise
        self._limit_name = _NEWER_LIMIT
        return await self._http.post(self.path, self._body(_GREETING, sampling), START_RETRIES)

    async def _shown_to_hold(self) -> frozenset[Form]:
        forms = await super()._shown_to_hold()
        for strict in (True, False) if "json" not in forms else ():
            self._strict = strict
            if await self._holds_json(*_HELD_OBJECT):
                return forms | {"json"}
        if "json" not in forms:
            log.warning("%s does not support JSON schemas: JSON is searched in the text of answers", self.base_url)
        return forms

    def _body(self, prompt: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
        body = self._fields(sampling) | {
            "messages": [dict(one) for one in prompt],
            self._limit_name: sampling.max_tokens,
        }
        if prompt[-1]["role"] == GIVEN:
            if not self._speaks_vllm:
                raise ValueError(f"prefix: {self.base_url} is no vLLM server, and others can't continue an answer")
            body["messages"][-1]["role"] = "assistant"
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        if "seed" in body:
            body["seed"] %= SEEDS
        if self._strict and "response_format" in body:
            body["response_format"]["json_schema"]["strict"] = True
        if sampling.logprob and self._speaks_vllm:  # others may refuse the field
            body["logprobs"] = True
        variables = self.model.template_kwargs
        if sampling.thinking is not None:
            assert isinstance(sampling.thinking, str)  # weights have been drawn from
            thinking = self._thinking_fields(sampling.thinking)
            variables = variables | thinking.pop("chat_template_kwargs", {})
            body |= thinking
        if variables:
            body["chat_template_kwargs"] = variables
        return {name: value for name, value in body.items() if name not in self.omit} | self.extra

    def _thinking_fields(self, way: str) -> dict[str, Any]:
        """The request fields that switch thinking. The server's template is unknown here, so all variable names that
        templates use are sent, and a template reads its own; or those of model.template_kwargs, if it has some."""
        if way not in ("on", "off"):
            return {"reasoning_effort": way}
        if not self._takes_template_kwargs:
            return {"reasoning_effort": "medium" if way == "on" else "none"}
        named = [name for name, value in self.model.template_kwargs.items() if isinstance(value, bool)]
        return {"chat_template_kwargs": dict.fromkeys([n for n in named if "think" in n] or _SWITCHES, way == "on")}

    def _text(self, choice: Mapping[str, Any]) -> str:
        """A text in parts is joined."""
        content = (choice.get("message") or {}).get("content")
        if isinstance(content, list):
            return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
        return content if isinstance(content, str) else ""

    def _answer(self, completion: Any, prompt: Sequence[Message], sampling: Sampling) -> Answer:
        try:
            choice = completion["choices"][0]
            text, ended, message = self._text(choice), choice.get("finish_reason"), choice.get("message") or {}
            usage = completion.get("usage") or {}
            details = usage.get("prompt_tokens_details") or {}
            tokens = int(usage.get("prompt_tokens") or 0), int(details.get("cached_tokens") or 0)
            written = int(usage.get("completion_tokens") or 0)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise RuntimeError(
                f"the server's answer is not in OpenAI's format: {self._http.line(str(completion))}"
            ) from None
        refusal = message.get("refusal")
        if ended in _WITHHELD or refusal:
            why = f"refusal: {refusal}" if refusal else str(ended)
            return Answer((), "stop", *tokens, counted=written, withheld=why)
        if ended not in ENDS:
            raise RuntimeError(f"the server ended its answer with finish_reason {self._http.line(repr(ended))}")
        thoughts = [message.get(name) for name in ("reasoning_content", "reasoning")]
        reasoning = next((thought for thought in thoughts if thought and isinstance(thought, str)), None)
        return Answer((), ENDS[ended], *tokens, text, logprob=_logprob(choice), counted=written, reasoning=reasoning)

    def _hint(self, words: str) -> str:
        """Advice to omit a field, if the server's error names it."""
        named = [name for name in get_args(Omitted) if re.search(rf"\b{name}\b", words)]
        return f"; engine.omit=[{','.join(named)}] omits it, and the server's default applies" if named else ""


def _logprob(choice: Mapping[str, Any]) -> float | None:
    """The mean of a choice's log-probabilities, None if the server reports none."""
    tokens = (choice.get("logprobs") or {}).get("content") or []
    found = [
        token["logprob"]
        for token in tokens
        if isinstance(token, Mapping) and isinstance(token.get("logprob"), int | float)
    ]
    return sum(found) / len(found) if found else None
