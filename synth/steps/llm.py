"""The handle that a step gets: a model to call, bound to one record.

It adds the seed of every call, the stop tokens of the chat template, the record's token usage and its lineage. Engines
get token ids, and text passed to it never becomes a control token (synth/chat/special_tokens.py). The models of a run
have names, and `on` returns the handle for another one.

A model whose server applies the chat template gets messages instead (synth/engines/openai_chat.py).

Promises: the n-th call that a step starts for a record has the same seed in every run with the same run seed, whatever
models were called before; or the seed that its sampling gives.

Knows nothing of other records, of shards, or of where the engine runs.
"""

import asyncio
import copy
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synth.chat import ChatTemplate, ServedChat, Stop
from synth.engines import FORMS, GIVEN, Answer, EngineError, Form, Generator, Pooled, Prompt, Sampling, Task, watching
from synth.errors import nearest
from synth.own_time import ours
from synth.records import Record, Rejection, Spent, Usage, add_spent, derive_seed
from synth.steps.beginning import Beginning, Draft, Foresee, Prospect
from synth.steps.dedup import DedupHandle
from synth.steps.held import Begun, free, until_answer
from synth.steps.ledger import Completion, Ledger, Visit, Words
from synth.steps.pool import Pool
from synth.steps.pooling import LONG, Messages, PoolingEndpoint

T = TypeVar("T", Answer, Pooled)

MAIN = "main"  # the model of the keys `model` and `engine`
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model of the run: its engine, its chat template, and its name in the dataset."""

    engine: Generator
    template: ChatTemplate | ServedChat
    model: str


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
        return _holds(self._endpoint(self._model))

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
        messages = [_without_reasoning(one, template) for one in messages]
        if isinstance(template, ServedChat):
            if thoughts is not None or sampling.thinking_tokens is not None:
                raise ValueError(
                    f"the model {self._model} is called through a chat API, which takes no thoughts and no bound"
                )
            messages_in = template.encode(messages, tools=tools) if tools else template.encode(messages)
            return await self._served(endpoint, template, messages_in, sampling, prefix)
        if prefix is not None and thoughts is None:
            thoughts, prefix = template.thoughts_of(prefix)
        way = sampling.thinking if isinstance(sampling.thinking, str) else None  # the drawn mode
        given = {name: value for name, value in {"thinking": way, "tools": tools}.items() if value}
        encode = partial(template.encode, **given) if given else template.encode  # type: ignore[arg-type]
        begun = Begun(prefix, thoughts, thinks_first)
        return await self._generate(
            endpoint, template, encode, messages, template.response_stop, sampling, draft, begun
        )

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
        return await self._generate(endpoint, template, encode, messages, template.query_stop, sampling, draft, begun)

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
        return await self._generate(
            endpoint, template, encode, (), stop, sampling, None, Begun(is_query=True, is_text=True)
        )

    def _under(self, system: str | None, messages: Messages) -> Messages:
        if system is None and not any(one.get("role") == "system" for one in messages[:1]):
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
        return await self._patiently(lambda: endpoint.engine.pool(prompt))

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

    async def _served(
        self, endpoint: Endpoint, template: ServedChat, messages: Messages, sampling: Sampling, prefix: str | None
    ) -> Completion:
        """A call to a server that applies the chat template."""
        if prefix:
            messages = [*messages, {"role": GIVEN, "content": prefix}]
        call = next(self._visit.calls)
        sampling = sampling if sampling.form in _holds(endpoint) else free(sampling)
        seeded = replace(sampling, seed=self._seed(sampling, call))
        answer = await self._answer(endpoint, messages, seeded)
        reasoning, text = template.split(answer.text or "")
        whole = ((prefix or "") + text).strip()
        return self._completion(endpoint, call, sampling, answer, whole, answer.reasoning or reasoning)

    async def _generate(
        self,
        endpoint: Endpoint,
        template: ChatTemplate,
        encode: Callable[[Messages], list[int]],
        messages: Messages,
        stop: Stop,
        sampling: Sampling,
        draft: Draft | None,
        begun: Begun,
    ) -> Completion:
        call = next(self._visit.calls)
        # Encoding ten megabytes takes seconds: other records go on meanwhile.
        long = sum(len(str(message.get("content"))) for message in messages) > LONG
        with ours():
            prompt = await asyncio.to_thread(encode, messages) if long else encode(messages)
        limit = endpoint.engine.max_model_len
        if len(prompt) >= limit:
            raise Rejection("prompt_too_long", f"{len(prompt)} tokens, the model takes at most {limit}")
        sampling = replace(
            sampling if sampling.form in _holds(endpoint) else free(sampling),
            stop=(*sampling.stop, *stop.strings),
            stop_token_ids=(*sampling.stop_token_ids, *stop.token_ids),
        )
        requests = itertools.count()

        def prospect(read: Callable[[Sequence[int], str | None], str], length: int) -> Prospect | None:
            """Reads partial text without begun stop strings, incomplete characters and reasoning."""
            most = min(sampling.max_tokens, limit - length)

            def read_so_far(token_ids: Sequence[int], text: str | None) -> str:
                answer_text = read(token_ids, text)
                left_out = max(map(len, sampling.stop), default=1) - 1 if text is None else 0
                return answer_text[: len(answer_text) - left_out].rstrip("\ufffd").strip()

            return Prospect(draft, self._foresee, read_so_far, most) if draft and self._foresee else None

        async def ask(prompt: list[int], sampling: Sampling, prospect: Prospect | None = None) -> Answer:
            seeded = replace(sampling, seed=self._seed(sampling, call, next(requests)))
            return await self._answer(endpoint, prompt, seeded, prospect)

        def completion(answer: Answer, text: str, reasoning: str | None) -> Completion:
            text = text if begun.is_text else text.strip()
            return self._completion(endpoint, call, sampling, answer, text, reasoning)

        if begun.is_query:

            def plain(token_ids: Sequence[int], text: str | None) -> str:
                after = [prompt] if begun.prefix or begun.is_text else []
                return (begun.prefix or "") + (template.decode(token_ids, *after) if text is None else text)

            answer = await ask(prompt, sampling, prospect(plain, len(prompt)))
            return completion(answer, plain(answer.token_ids, answer.text), None)
        if not (begun.is_closed or sampling.form or sampling.thinking_tokens):
            start = [] if begun.thoughts is None else template.begin_thoughts(prompt, begun.thoughts)[len(prompt) :]

            def parted(token_ids: Sequence[int], text: str | None) -> tuple[str | None, str]:
                further = {"begun": start} if start else {}
                return template.answer(prompt, token_ids, text, sampling.stop, **further)

            def answered(token_ids: Sequence[int], text: str | None) -> str:
                reasoning, answer_text = parted(token_ids, text)
                return "" if reasoning is None and template.thinks(prompt) else answer_text

            answer = await ask([*prompt, *start], sampling, prospect(answered, len(prompt) + len(start)))
            reasoning, text = parted(answer.token_ids, answer.text)
            return completion(replace(answer, token_ids=[*start, *answer.token_ids]), text, reasoning)
        reasoning, before = await until_answer(ask, template, prompt, sampling, stop, limit, begun)
        thought = before[len(prompt) :]
        if len(before) >= limit:
            return completion(Answer(thought, "length", len(prompt)), begun.prefix or "", reasoning)

        def following(token_ids: Sequence[int], text: str | None) -> str:
            answer_text = template.decode(token_ids, *([before] if begun.prefix else [])) if text is None else text
            if begun.prefix:
                return begun.prefix + answer_text
            return answer_text if sampling.form or reasoning is None else template.unwrapped(answer_text)

        answer = await ask(before, sampling, prospect(following, len(before)))
        whole = replace(answer, token_ids=[*thought, *answer.token_ids], logprob=None)
        return completion(whole, following(answer.token_ids, answer.text), reasoning)

    def _seed(self, sampling: Sampling, call: int, request: int = 0) -> int:
        """The given seed, or one derived for this call; for further requests of a call, derived from that."""
        further = [request] if request else []
        if sampling.seed is None:
            return derive_seed(*self._visit.scope, call, *further)
        return derive_seed(sampling.seed, *further) if further else sampling.seed

    def _completion(
        self, endpoint: Endpoint, call: int, sampling: Sampling, answer: Answer, text: str, reasoning: str | None
    ) -> Completion:
        ids, end = answer.token_ids, answer.finish_reason
        way = sampling.thinking if isinstance(sampling.thinking, str) else None
        completion = Completion(Words(text), ids, end, reasoning, answer.logprob, endpoint.model, way)
        detection = sampling.repetition_detection
        self._ledger.hear(completion, self._visit, call, may_loop=detection is not None and not detection.reject)
        return completion

    async def _answer(
        self, endpoint: Endpoint, prompt: Prompt, sampling: Sampling, prospect: Prospect | None = None
    ) -> Answer:
        """One request, stopped if it loops. Raises Doomed if later filters are certain to reject the record."""
        beginning = Beginning(sampling, prospect)

        async def once() -> Answer:
            nonlocal beginning
            beginning, engine = Beginning(sampling, prospect), endpoint.engine
            watched = watching(engine, beginning) if beginning.is_watched else {}
            return beginning.ended(await engine.generate(prompt, sampling, **watched))

        answer = await self._patiently(once)
        if beginning.doom:
            raise beginning.doom
        return answer

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Retries a request that failed while the engine survived: it may succeed later."""
        failures = 0
        while True:
            try:
                with ours():
                    answer = await ask()
                written = answer.completion_tokens if isinstance(answer, Answer) else 0
                tokens = (answer.prompt_tokens, answer.cached_tokens, written)
                add_spent(self._ledger.spent, {self._visit.step: Spent(1, *tokens, answer.engine_seconds)})
                if isinstance(answer, Answer) and answer.withheld is not None:
                    raise Rejection("withheld", answer.withheld)
                if isinstance(answer, Answer) and answer.too_long is not None:
                    raise Rejection("prompt_too_long", answer.too_long)
                return answer
            except EngineError as error:
                self._visit.failure = error
                raise
            except (ValueError, Rejection):  # it would fail again
                raise
            except Exception as error:
                failures += 1
                if failures == ATTEMPTS:
                    raise Rejection("poison", f"{type(error).__name__}: {error}") from error


def _holds(endpoint: Endpoint) -> frozenset[Form]:
    return getattr(endpoint.engine, "holds", frozenset())


def _text(answer: Answer, template: ChatTemplate) -> str:
    return template.decode(answer.token_ids) if answer.text is None else answer.text


def _without_reasoning(message: dict[str, str], template: ChatTemplate | ServedChat) -> dict[str, str]:
    content = message.get("content")
    if message.get("role") != "assistant" or not isinstance(content, str):
        return message
    return {**message, "content": template.without_reasoning(content)}
