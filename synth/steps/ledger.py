"""The completions of one record, their cost, and which of them became columns of the record.

Promises: a completion is identified by its text object, wherever a step puts it: two calls that both answer "Yes." are
distinguished. Only if a step made a new string, for example by removing a heading, are texts compared.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from synth.engines import EngineError, FinishReason, Sampling
from synth.records import Spent, Usage, derive_seed


class Words(str):
    """The text of a completion: a distinct object even for equal texts, since Python shares short strings."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer. `finish_reason` is `stop` if the model ended it, `length` if it was truncated, and `repetition`
    if it looped.

    `text` is the answer without its reasoning, which is in `reasoning`, None without any. If the reasoning was
    truncated, `text` is empty. `token_ids` is empty if a server reports none. `logprob` is that of Answer, None for
    structured output after reasoning.
    `model` is the name of the model in the dataset; `thinking` its mode of thinking, None for the chat template's
    default.
    """

    text: str
    token_ids: Sequence[int]
    finish_reason: FinishReason
    reasoning: str | None = None
    logprob: float | None = None
    model: str | None = None
    thinking: str | None = None


@dataclass
class Visit:
    """One record at one step, over all models called there. `scope` seeds its random numbers."""

    scope: tuple[int, str, str]
    calls: Iterator[int] = field(default_factory=itertools.count)
    failure: EngineError | None = None

    @property
    def step(self) -> str:
        return self.scope[2]

    def way_to_think(self, sampling: Sampling) -> str | None:
        """The record's mode of thinking in this step: of weighted modes, the same draw in every call."""
        if not isinstance(sampling.thinking, dict):
            return sampling.thinking
        ways, total = sampling.ways_to_think, sum(sampling.thinking.values())
        drawn = random.Random(derive_seed(*self.scope, "thinking")).random()
        below = itertools.accumulate(sampling.thinking[way] / total for way in ways)
        return next((way for way, bound in zip(ways, below, strict=True) if drawn < bound), ways[-1])

    @cached_property
    def rng(self) -> random.Random:
        return random.Random(derive_seed(*self.scope))


@dataclass(frozen=True, slots=True)
class _Heard:
    """A completion, with the visit and the number of its call. `may_loop`: it is kept even if it loops."""

    completion: Completion
    visit: Visit
    call: int
    may_loop: bool


@dataclass
class Ledger:
    """The usage of one branch of a record, by step, and its lineage. Each branch of a fan-out has its own ledger.
    `model` is the model that wrote its text, None for a text from no model of the run.

    `heard` has the completions by the identity of their text, and keeps these alive. `last` is the last call in the
    order of calls, not of answers, which differs from run to run.
    """

    spent: dict[str, Spent] = field(default_factory=dict)
    lineage: list[dict[str, str | None]] = field(default_factory=list)
    model: str | None = None
    heard: dict[int, _Heard] = field(default_factory=dict)
    last: _Heard | None = None

    @property
    def finish_reason(self) -> str | None:
        return self.last.completion.finish_reason if self.last else None

    def hear(self, completion: Completion, visit: Visit, call: int, may_loop: bool = False) -> None:
        heard = self.heard[id(completion.text)] = _Heard(completion, visit, call, may_loop)
        if self.last is None or self.last.visit is not visit or call > self.last.call:
            self.last = heard

    def completion(self, text: str | None) -> Completion | None:
        """The completion with this text object. For a new string, the completion with the same words: of several, the
        first call of the last step."""
        found = self._find(text)
        return found.completion if found else None

    def may_loop(self, text: str | None) -> bool:
        """Whether a record with this text is kept even if it loops; for unknown texts, the last call decides."""
        found = self._find(text) or self.last
        return found is None or found.may_loop

    def _find(self, text: str | None) -> _Heard | None:
        if text is None:
            return None
        if found := self.heard.get(id(text)):
            return found
        alike: _Heard | None = None
        for one in self.heard.values():
            if one.completion.text == text and (alike is None or one.visit is not alike.visit or one.call < alike.call):
                alike = one
        return alike

    def last_of(self, step: str) -> Completion | None:
        """The last completion, if this step asked for it."""
        return self.last.completion if self.last and self.last.visit.step == step else None

    def branched(self, spent: dict[str, Spent], lineage: list[dict[str, str | None]]) -> "Ledger":
        """A branch's ledger, which knows the completions so far."""
        return replace(self, spent=spent, lineage=lineage, heard=dict(self.heard))

    def trace(self, step: str, text: str | None, operation: str | None = None, *, several: bool) -> None:
        """Add a round to the lineage; in a run with `several` models, with the model that wrote it."""
        completion = self.completion(text) or self.completion((text or "").strip()) if several else None
        model = completion.model if completion else None
        self.lineage.append({"step": step, "text": text, "operation": operation, "model": model})

    @property
    def usage(self) -> Usage:
        """Tokens of all steps."""
        total = sum(self.spent.values(), Spent())
        return Usage(total.prompt_tokens, total.cached_tokens, total.completion_tokens)
