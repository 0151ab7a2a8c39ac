"""The handle that a step gets: a model to call, bound to one record.

It adds the seed of every call, the stop tokens of the chat template, the record's token usage and its lineage. Engines
get token ids, and text passed to it never becomes a control token (synth/chat/special_tokens.py). The models of a run
have names, and `on` returns the handle for another one.

A model whose server applies the chat template gets messages instead (synth/engines/openai_chat.py).

Promises: the n-th call that a step starts for a record has the same seed in every run with the same run seed, whatever
models were called before; or the seed that its sampling gives.

Knows nothing of other records, of shards, or of where the engine runs.
"""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.chat import ChatTemplate, ServedChat, Stop
from synth.engines import FORMS, EngineError, Form, Pooled, Sampling, Task
from synth.errors import nearest
from synth.own_time import ours
from synth.records import Record, Rejection, Usage
from synth.steps.beginning import Draft, Foresee
from synth.steps.call import Call, request
from synth.steps.dedup import DedupHandle
from synth.steps.endpoints import MAIN, Endpoint, Messages, PoolingEndpoint
from synth.steps.generation import generate, generate_served
from synth.steps.held import Begun, free
from synth.steps.ledger import Completion, Ledger, Visit
from synth.steps.pool import Pool


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several records that a step returns, with its own lineage (see LLM.branch)."""

    outcome: Record | Rejection
    lineage: list[dict[str, str | None]]


class LLM:
    """`step(record, llm)`: call the model with `chat`, draw a user's turn with `query`, add to the lineage with `note`.

    Calls go to the model named `model`, one of the `endpoints`; `on` returns a handle of the same record for another.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint | PoolingEndpoint],
        ledger: Ledger,
        seed: int,
        id: str,
        step: str,
        model: str = MAIN,
        pool: Pool | None = None,
        dedup: DedupHandle | None = None,
        foresee: Foresee | None = None,
    ):
        self._endpoints, self._model, self._ledger = endpoints, model, ledger
        self._pool, self._dedup, self._foresee = pool, dedup, foresee
        self._visit = Visit((seed, id, step))
        self.system: str | None = None  # system prompt of calls that give none

    def on(self, model: str | None) -> "LLM":
        """The same record's handle for another model of the run; None: this model. Raises ValueError for an unknown
        name."""
        if model is None or model == self._model:
            return self
        self._named(model)
        other = copy.copy(self)
        other._model = model
        return other

    def _named(self, model: str) -> Endpoint | PoolingEndpoint:
        if model not in self._endpoints:
            raise ValueError(f"there is no model {model!r} in this run{nearest(model, self._endpoints)}")
        return self._endpoints[model]

    def _endpoint(self, model: str) -> Endpoint:
        endpoint = self._named(model)
        if isinstance(endpoint, PoolingEndpoint):
            raise ValueError(f"the model {model!r} cannot generate text, its task is to {endpoint.engine.task}")
        return endpoint

    @property
    def id(self) -> str:
        """The record's id, such as `17` or `17/2`."""
        return self._visit.scope[1]

    @property
    def usage(self) -> Usage:
        """The record's tokens so far, over all steps."""
        return self._ledger.usage

    @property
    def failure(self) -> EngineError | None:
        """The error of a broken engine, even if the step caught it: the record is not to blame."""
        return self._visit.failure

    @property
    def rng(self) -> random.Random:
        """Random numbers for this record in this step: the same in every run with the same seed."""
        return self._visit.rng

    @property
    def holds(self) -> frozenset[Form]:
        """The forms of structured output that the engine supports: `json`, `choice`, `regex`. Others are ignored."""
        return self._endpoint(self._model).holds

    @property
    def pool(self) -> Pool:
        """The pool that all records share, for a step with an attribute `pool` (see synth/steps/pool.py)."""
        if self._pool is None:
            raise RuntimeError("there is no llm.pool: it needs a first step with the attribute `pool`")
        return self._pool

    @property
    def dedup(self) -> DedupHandle:
        """Dedup keys of this step, for a step with an attribute `duplicates` (see synth/quality/duplicates.py)."""
        if self._dedup is None:
            raise RuntimeError("there is no llm.dedup: it needs a step with the attribute `duplicates`")
        return self._dedup

    async def chat(
        self,
        messages: str | Messages,
        sampling: Sampling | None = None,
        *,
        system: str | None = None,
        prefix: str | None = None,
        thoughts: str | None = None,
        thinks_first: bool = True,
        draft: Draft | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        **changes: Any,
    ) -> Completion:
        """The assistant's answer to a user's text or a list of {role, content}, given the specifications of `tools`.
        Messages may have tool calls and their results (synth/tool_calls.py).

        With `prefix` the answer begins with this text, which is part of its text. A thinking model thinks before the
        prefix; with `thinks_first` false it does not, for example if it wrote the prefix itself. With `thoughts` it
        continues this reasoning, its own or one with a tool's output in it; a prefix, even an empty one, ends it.

        `draft` returns the step's record for a partial answer: if later filters are certain to reject it, generation
        stops and Doomed is raised.

        `changes` are fields of Sampling: `llm.chat("…", max_tokens=256, temperature=0.2)`. Structured output that the
        engine does not support (`holds`) is ignored. A thinking model thinks first, in up to max_tokens, and is
        constrained after that; the constraint applies to the text after the prefix.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        messages = self._under(system, messages)
        sampling, endpoint = self._asked(sampling, changes)
        template = endpoint.template
        # Not every template removes the reasoning from earlier answers.
        messages = [_without_reasoning(message, template) for message in messages]
        if isinstance(template, ServedChat):
            if thoughts is not None or sampling.thinking_tokens is not None:
                raise ValueError(
                    f"the model {self._model} is called through a chat API, which takes no thoughts and no bound"
                )
            messages_in = template.encode(messages, tools=tools) if tools else template.encode(messages)
            return await generate_served(self._call(endpoint, sampling), template, messages_in, prefix)
        if prefix is not None and thoughts is None:
            thoughts, prefix = template.thoughts_of(prefix)
        mode = sampling.thinking if isinstance(sampling.thinking, str) else None  # the drawn one
        given = {name: value for name, value in {"thinking": mode, "tools": tools}.items() if value}
        encode = partial(template.encode, **given) if given else template.encode  # type: ignore[arg-type]
        begun = Begun(prefix, thoughts, thinks_first)
        call = self._call(endpoint, sampling, draft)
        return await generate(call, template, encode, messages, template.response_stop, begun)

    async def query(
        self,
        messages: Messages = (),
        sampling: Sampling | None = None,
        *,
        prefix: str | None = None,
        draft: Draft | None = None,
        **changes: Any,
    ) -> Completion:
        """The user's next turn, given a conversation or nothing at all (Magpie, section 2), beginning with `prefix`
        (KodCode's Magpie-prefill). `draft` is as for `chat`."""
        messages = self._under(None, messages)
        sampling, endpoint = self._asked(sampling, changes)
        template = endpoint.template
        if isinstance(template, ServedChat):
            raise ValueError(f"the model {self._model} is called through a chat API, which cannot write a user's turn")
        if sampling.thinking is not None or sampling.thinking_tokens is not None:
            raise ValueError("a user's turn has no reasoning: leave out thinking and thinking_tokens")
        encode = template.pre_query
        if prefix:

            def encode(messages: Messages = ()) -> list[int]:
                return template.with_words(template.pre_query(messages), prefix)

        begun = Begun(prefix, is_query=True)
        call = self._call(endpoint, sampling, draft)
        return await generate(call, template, encode, messages, template.query_stop, begun)

    async def complete(self, text: str, sampling: Sampling | None = None, **changes: Any) -> Completion:
        """The continuation of a text, without the chat template, and with the blanks around it. Control tokens spelled
        in it are text."""
        sampling, endpoint = self._asked(sampling, changes)
        template = endpoint.template
        if isinstance(template, ServedChat):
            raise ValueError(f"the model {self._model} is called through a chat API, which continues no text")

        def encode(messages: Messages = ()) -> list[int]:
            return template.plain(text)

        stop = Stop(template.response_stop.token_ids)
        call = self._call(endpoint, sampling)
        return await generate(call, template, encode, (), stop, Begun(is_query=True, is_text=True))

    def _under(self, system: str | None, messages: Messages) -> Messages:
        if system is None and not any(message.get("role") == "system" for message in messages[:1]):
            system = self.system
        return messages if system is None else [{"role": "system", "content": system}, *messages]

    async def score(self, messages: str | Messages) -> float:
        """The score of a conversation, or a plain text, by a reward model or a classifier with one output: its last
        layer's output before any sigmoid. A conversation that is too long is truncated at its beginning."""
        pooled = await self._pooled("score", messages)
        return float(pooled.values[0])

    async def embed(self, text: str) -> NDArray[np.float32]:
        """The unnormalized embedding of a text. A text that is too long is truncated at its end."""
        return (await self._pooled("embed", text)).values

    def note(self, text: str, operation: str | None = None) -> None:
        """Add a round to the record's lineage."""
        text = text if isinstance(text, str) else str(text)
        operation = None if operation is None else str(operation)
        self._ledger.trace(self._visit.step, text, operation, several=len(self._endpoints) > 1)

    def branch(self, outcome: Record | Rejection) -> Branch:
        """One of several records that the step will return; its lineage is what has been noted so far."""
        return Branch(outcome, list(self._ledger.lineage))

    @property
    def rounds(self) -> int:
        """The number of rounds in the record's lineage, over all steps."""
        return len(self._ledger.lineage)

    async def _pooled(self, task: Task, given: str | Messages) -> Pooled:
        endpoint = self._named(self._model)
        if not isinstance(endpoint, PoolingEndpoint) or endpoint.engine.task != task:
            does = endpoint.engine.task if isinstance(endpoint, PoolingEndpoint) else "generate"
            raise ValueError(f"the model {self._model!r} can {does}, but not {task}")
        with ours():
            prompt = await endpoint.encode(given)
        return await request(lambda: endpoint.engine.pool(prompt), self._ledger, self._visit)

    def _asked(self, sampling: Sampling | None, changes: dict[str, Any]) -> tuple[Sampling, Endpoint]:
        """The sampling and the endpoint of a call."""
        sampling = sampling or Sampling()
        if not changes.keys().isdisjoint(FORMS):
            sampling = free(sampling)  # the call gives its own form
        sampling = replace(sampling, **changes)
        if sampling.form:  # supported or not: a list may contain equal items
            sampling = replace(sampling, repetition_detection=None)
        sampling = replace(sampling, thinking=self._visit.way_to_think(sampling))
        return replace(sampling, model=None), self._endpoint(sampling.model or self._model)

    def _call(self, endpoint: Endpoint, sampling: Sampling, draft: Draft | None = None) -> Call:
        return Call(endpoint, sampling, self._ledger, self._visit, draft, self._foresee)


def _without_reasoning(message: dict[str, str], template: ChatTemplate | ServedChat) -> dict[str, str]:
    content = message.get("content")
    if message.get("role") != "assistant" or not isinstance(content, str):
        return message
    return {**message, "content": template.without_reasoning(content)}
