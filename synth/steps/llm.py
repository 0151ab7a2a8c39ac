"""The handle that a step is given: a model to talk to, bound to one record.

It adds what a technique should not have to think of: the seed of every call, the stop tokens of the chat
template, the record's token count and its lineage. It speaks token ids to the engine, and text that it is given
never becomes a control token (synth/chat/guard.py).

Promises: the n-th call that a step starts for a record has the same seed in every run with the same run seed.

Knows nothing of other records, of shards, or of where the engine runs.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from synth.chat import ChatTemplate, Stop
from synth.engines import FORMS, Answer, EngineError, Form, Generator, Sampling
from synth.own_time import ours
from synth.records import Record, Rejection, Spent, Usage, add_spent, derive_seed
from synth.steps.held import free, thoughts_before
from synth.steps.pool import Pool
from synth.steps.twins import Twins

Messages = Sequence[dict[str, str]]

ATTEMPTS = 3
LONG = 50_000  # characters, which take about 20 ms to encode


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's words. `finish_reason` is `length` when they were cut, `stop` when the model ended by itself.

    `text` is the answer alone; what a thinking model thought before it is in `reasoning`, None without any. Where
    its thoughts were cut, `text` is empty. `logprob` is that of Answer, None for a form that is held after thoughts.
    """

    text: str
    token_ids: Sequence[int]
    finish_reason: Literal["stop", "length"]
    reasoning: str | None = None
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the records that a step returns, with a lineage of its own (see LLM.branch)."""

    outcome: Record | Rejection
    lineage: list[dict[str, str | None]]


@dataclass
class Ledger:
    """What one branch of a record has cost, step by step, and where it came from. A fan-out's branches have one each.

    `said` are the model's words by their text, so that a response is known by its own end and thoughts, whatever was
    asked after it.
    """

    spent: dict[str, Spent] = field(default_factory=dict)
    lineage: list[dict[str, str | None]] = field(default_factory=list)
    finish_reason: str | None = None
    said: dict[str, Completion] = field(default_factory=dict)

    @property
    def usage(self) -> Usage:
        """Tokens of all steps."""
        total = sum(self.spent.values(), Spent())
        return Usage(total.prompt_tokens, total.cached_tokens, total.completion_tokens)


class LLM:
    """`step(record, llm)`: ask with `chat`, draw what a user would say with `query`, note a round with `note`.

    `failure` is the EngineError of a call, whatever the step made of it: a broken engine says nothing of a record.
    """

    def __init__(
        self,
        engine: Generator,
        template: ChatTemplate,
        ledger: Ledger,
        seed: int,
        id: str,
        step: str,
        pool: Pool | None = None,
        twins: Twins | None = None,
    ):
        self._engine, self._template, self._ledger = engine, template, ledger
        self._pool, self._twins = pool, twins
        self._scope: tuple[int, str, str] = (seed, id, step)
        self._calls = 0
        self.failure: EngineError | None = None

    @property
    def id(self) -> str:
        """The record's, as `17` or `17/2`."""
        return self._scope[1]

    @cached_property
    def rng(self) -> random.Random:
        """Randomness of this record in this step: the same in every run with the same seed."""
        return random.Random(derive_seed(*self._scope))

    @property
    def holds(self) -> frozenset[Form]:
        """The forms that the engine can make an answer have: `json`, `choice`, `regex`. Any other is not asked for."""
        return getattr(self._engine, "holds", frozenset())

    @property
    def pool(self) -> Pool:
        """The pool that all records share, for a step that says that it needs one (see synth/steps/pool.py)."""
        if self._pool is None:
            raise RuntimeError("there is no pool: a step has one if its attribute `pool` says so and it comes first")
        return self._pool

    @property
    def twins(self) -> Twins:
        """What others claimed at this step, for one against duplicates (see synth/quality/duplicates.py)."""
        if self._twins is None:
            raise RuntimeError("there are no twins: a step has them if its attribute `duplicates` says so")
        return self._twins

    async def chat(
        self,
        messages: str | Messages,
        sampling: Sampling | None = None,
        *,
        system: str | None = None,
        **changes: Any,
    ) -> Completion:
        """The assistant's answer to a user's text or to a list of {role, content}.

        `changes` are fields of Sampling: `llm.chat("…", max_tokens=256, temperature=0.2)`. A form that the engine does
        not hold (`holds`) is left out. A model that thinks does so first, in up to max_tokens, and is held after that.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if system is not None:
            messages = [{"role": "system", "content": system}, *messages]
        # Not every template takes the thoughts out of earlier answers.
        messages = [self._without_reasoning(one) for one in messages]
        template = self._template
        return await self._generate(template.encode, messages, template.response_stop, sampling, changes, thinks=True)

    async def query(self, messages: Messages = (), sampling: Sampling | None = None, **changes: Any) -> Completion:
        """What the user would say next, given a conversation so far, or nothing at all (Magpie, section 2)."""
        template = self._template
        return await self._generate(template.pre_query, messages, template.query_stop, sampling, changes, thinks=False)

    def note(self, text: str, operation: str | None = None) -> None:
        """Write one round into the record's lineage."""
        operation = None if operation is None else str(operation)
        self._ledger.lineage.append({"step": self._scope[2], "text": str(text), "operation": operation})

    def branch(self, outcome: Record | Rejection) -> Branch:
        """One of several records that the step will return: its lineage is what has been noted up to here."""
        return Branch(outcome, list(self._ledger.lineage))

    @property
    def rounds(self) -> int:
        """How many rounds the record's lineage has, of all steps."""
        return len(self._ledger.lineage)

    async def _generate(
        self,
        encode: Callable[[Messages], list[int]],
        messages: Messages,
        stop: Stop,
        sampling: Sampling | None,
        changes: dict[str, Any],
        *,
        thinks: bool,
    ) -> Completion:
        call = self._calls
        self._calls += 1
        # Ten megabytes take seconds to encode: other records go on meanwhile.
        long = sum(len(str(message.get("content"))) for message in messages) > LONG
        with ours():
            prompt = await asyncio.to_thread(encode, messages) if long else encode(messages)
        if len(prompt) >= self._engine.max_model_len:
            raise Rejection("prompt_too_long", f"{len(prompt)} tokens, the model reads {self._engine.max_model_len}")
        sampling = self._sampling(sampling or Sampling(), changes, stop)
        requests = itertools.count()

        async def ask(prompt: list[int], sampling: Sampling) -> Answer:
            further = [number for number in [next(requests)] if number]
            return await self._answer(prompt, replace(sampling, seed=derive_seed(*self._scope, call, *further)))

        if not (thinks and sampling.form):
            answer = await ask(prompt, sampling)
            text, reasoning = self._text(answer), None
            if thinks:
                reasoning, text = self._template.answer(prompt, answer.token_ids, answer.text, sampling.stop)
            return self._said(text, answer.token_ids, answer.finish_reason, reasoning, answer.logprob)
        limit = self._engine.max_model_len
        reasoning = await thoughts_before(ask, self._template, prompt, sampling, stop, limit)
        before = self._template.after_thoughts(prompt, reasoning)
        thought = before[len(prompt) :]
        if len(before) >= limit:
            return self._said("", thought, "length", reasoning)
        answer = await ask(before, sampling)
        return self._said(self._text(answer), [*thought, *answer.token_ids], answer.finish_reason, reasoning)

    def _sampling(self, sampling: Sampling, changes: dict[str, Any], stop: Stop) -> Sampling:
        """What is asked of the engine, but for the seed."""
        if not changes.keys().isdisjoint(FORMS):
            sampling = free(sampling)  # for the form that the call gives
        sampling = replace(sampling, **changes)
        return replace(
            sampling if sampling.form in self.holds else free(sampling),
            stop=(*sampling.stop, *stop.strings),
            stop_token_ids=(*sampling.stop_token_ids, *stop.token_ids),
        )

    def _text(self, answer: Answer) -> str:
        return self._template.decode(answer.token_ids) if answer.text is None else answer.text

    def _said(
        self,
        text: str,
        token_ids: Sequence[int],
        finish_reason: Literal["stop", "length"],
        reasoning: str | None,
        logprob: float | None = None,
    ) -> Completion:
        self._ledger.finish_reason = finish_reason
        said = Completion(text.strip(), token_ids, finish_reason, reasoning, logprob)
        self._ledger.said[said.text] = said
        return said

    async def _answer(self, prompt: list[int], sampling: Sampling) -> Answer:
        """Asks again where the engine failed at this request and lives: another time it may not."""
        failures = 0
        while True:
            try:
                with ours():
                    answer = await self._engine.generate(prompt, sampling)
                tokens = (answer.prompt_tokens, answer.cached_tokens, len(answer.token_ids))
                add_spent(self._ledger.spent, {self._scope[2]: Spent(1, *tokens, answer.engine_seconds)})
                return answer
            except EngineError as error:
                self.failure = error
                raise
            except ValueError:  # it is refused, and will be
                raise
            except Exception as error:
                failures += 1
                if failures == ATTEMPTS:
                    raise Rejection("poison", f"{type(error).__name__}: {error}") from error

    def _without_reasoning(self, message: dict[str, str]) -> dict[str, str]:
        content = message.get("content")
        if message.get("role") != "assistant" or not isinstance(content, str):
            return message
        return {**message, "content": self._template.without_reasoning(content)}
