"""What the models said to one record, what that cost, and which of it became the record's own.

Promises: a completion is known by the very text that it came with, wherever a step puts that: two calls that both say
"Yes." are two. Only where a step made a new text, as by taking a heading off, are words looked up.

Knows nothing of engines, prompts or files.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from synth.engines import EngineError, FinishReason, Sampling
from synth.records import Spent, Usage, derive_seed


class Words(str):
    """The text of a completion: an object of its own, where Python has one object for all texts of a letter."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's words. `finish_reason` is `stop` when the model ended by itself, `length` when they were cut, and
    `repetition` when they went round in circles.

    `text` is the answer alone; what a thinking model thought before it is in `reasoning`, None without any. Where
    its thoughts were cut, `text` is empty. `token_ids` are none where a server tells none. `logprob` is that of Answer,
    None for a form that is held after thoughts.
    `model` is the one that was asked, as the dataset calls it; `thinking` the way in which it was to think, None where
    that was left to its chat template.
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
    """One record at one step, whichever models it asks there. `scope` is what its seeds are made of."""

    scope: tuple[int, str, str]
    calls: Iterator[int] = field(default_factory=itertools.count)
    failure: EngineError | None = None

    @property
    def step(self) -> str:
        return self.scope[2]

    def way_to_think(self, sampling: Sampling) -> str | None:
        """The one for the record in this step: of weights, the same draw counts in every call."""
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
    """A completion, with the record's visit of the step that asked for it and the number of the call there. One that
    `may_loop` is kept though it does."""

    completion: Completion
    visit: Visit
    call: int
    may_loop: bool


@dataclass
class Ledger:
    """What one branch of a record has cost, step by step, and where it came from. A fan-out's branches have one each.
    `model` is the one that wrote its words, None for what no model of the run wrote.

    `heard` has the completions by the identity of their text, which they keep alive. `last` is the last call, in the
    order of calls: the order in which answers come is another one in each run.
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
        """The one that the text came with. Of a text that a step made anew, the one with the same words: of several,
        the first call of the last step."""
        found = self._find(text)
        return found.completion if found else None

    def may_loop(self, text: str | None) -> bool:
        """Whether a record with these words is kept though they loop; where they are nobody's, the last call says."""
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
        """The last call's, if this step made it."""
        return self.last.completion if self.last and self.last.visit.step == step else None

    def branched(self, spent: dict[str, Spent], lineage: list[dict[str, str | None]]) -> "Ledger":
        """One for a branch, which has heard what was said so far."""
        return replace(self, spent=spent, lineage=lineage, heard=dict(self.heard))

    def trace(self, step: str, text: str | None, operation: str | None = None, *, several: bool) -> None:
        """One round more in the lineage. Where a run has `several` models, with the one that wrote it, if one did."""
        completion = self.completion(text) or self.completion((text or "").strip()) if several else None
        model = completion.model if completion else None
        self.lineage.append({"step": step, "text": text, "operation": operation, "model": model})

    @property
    def usage(self) -> Usage:
        """Tokens of all steps."""
        total = sum(self.spent.values(), Spent())
        return Usage(total.prompt_tokens, total.cached_tokens, total.completion_tokens)
