"""A strategy: steps in order, and what they tell of themselves.

Knows nothing of records, engines or shards: what becomes of a record is chain.py's.
"""

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import pyarrow as pa

from synth.engines import Sampling, Task
from synth.quality.duplicates import Duplicates
from synth.records import CONTRACT_COLUMNS, TOOLS, Needs, messages_with, thoughts_in
from synth.steps.function import Description, describe
from synth.steps.llm import MAIN
from synth.steps.pool import PoolRules
from synth.steps.rows import EXTRA
from synth.template import needed

NO_STEPS = ("name", "steps", "columns", "models")  # keys of a strategy; all others are steps


@dataclass(frozen=True)
class Step:
    """A step's function, the name that seeds and lineage know it by, and the columns that it says it adds.

    `columns` is None where the step says nothing about them, as a plain function does. `model` is the one of the run
    that it asks, where a call names no other. `system_prompt` is a template over the record's columns: what it asks
    under, where it gives none itself.
    """

    name: str
    function: Any
    columns: Mapping[str, pa.DataType] | None = None
    model: str = MAIN
    system_prompt: str | None = None

    @functools.cached_property
    def description(self) -> Description:
        """What it tells of itself."""
        return describe(self.function)

    @property
    def needs(self) -> list[Needs]:
        """The columns that it reads, as far as it tells, and its system prompt does."""
        return [*self.description.needs, *((name,) for name in sorted(needed(self.system_prompt or "")))]

    @property
    def models(self) -> set[str]:
        """The models that it is known to ask, for whatever."""
        return self.generating | set(self.pooling)

    @property
    def pooling(self) -> Mapping[str, Task]:
        """The models that it asks for a score or an embedding, with what it asks."""
        return self.description.pooling or {}

    @property
    def generating(self) -> set[str]:
        """The models that it is known to ask for words."""
        calls = self.description.calls
        named = [None] if calls is None else [call.model for call in calls]
        return {name or self.model for name in named} | set(self.description.models)

    def calls_of(self, model: str) -> list[Sampling]:
        """Those of its calls, as far as it tells them, that ask this model."""
        return [call for call in self.description.calls or () if (call.model or self.model) == model]

    @property
    def models_as_user(self) -> set[str]:
        """Those that it has say what a user would."""
        return {call.model or self.model for call in self.description.as_user}

    @property
    def declares_calls(self) -> bool:
        """Whether it is known whom it asks: what a function of someone's own does is not."""
        return is_own_step(self.function) or self.description.calls is not None


def step_names(strategy: Mapping[str, Any]) -> list[str]:
    """What the steps of a strategy's YAML are called, in order: by their key, one that stands in the list itself by its
    target; `judge#2` for the second of a name."""
    names: list[str] = []
    for step in strategy.get("steps", []):
        name = step if isinstance(step, str) else str(step.get("_target_")).rpartition(".")[2]
        count = sum(one.partition("#")[0] == name for one in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return names


@dataclass(frozen=True)
class Strategy:
    """Steps in order. `declared` are the columns of the strategy's YAML, None if it has no such key.

    What a record holds beside the dataset's columns goes from step to step and is not written. Only where nobody
    said which columns there are, a column `extra` keeps it, as JSON. `of_model` are columns that come with the model,
    `of_source` those that a source draws.
    """

    name: str
    steps: Sequence[Step]
    declared: Mapping[str, pa.DataType] | None = None
    of_model: Mapping[str, pa.DataType] = field(default_factory=dict)
    of_source: Mapping[str, pa.DataType] = field(default_factory=dict)

    @property
    def added(self) -> set[str]:
        """The columns that its steps add."""
        return {name for step in self.steps for name in step.columns or ()}

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """What the dataset has beside the contract's columns. `thinking`, where a step says how a model is to think,
        is how the one did that wrote the response. With a column `tools`, a text, `messages` have tool calls."""
        columns = dict(self.of_source)
        columns |= {name: kind for step in self.steps for name, kind in (step.columns or {}).items()}
        if any(call.thinking is not None for step in self.steps for call in step.description.calls or ()):
            columns.setdefault("thinking", pa.string())
        silent = self.declared is None and any(step.columns is None for step in self.steps)
        columns |= dict(self.declared or {})
        columns |= dict(self.of_model)
        conversation = CONTRACT_COLUMNS["messages"]
        if TOOLS.name in {*self.added, *(self.declared or ())} and columns[TOOLS.name] == TOOLS.type:
            thoughts = thoughts_in(columns.get("messages", conversation))
            columns["messages"] = messages_with(thoughts, tool_calls=True)
        if larger := columns.get("messages"):  # the answers of a preference pair have thoughts and calls, too
            columns = {name: larger if kind == conversation else kind for name, kind in columns.items()}
        return columns | ({EXTRA: pa.string()} if silent else {})

    @property
    def pool(self) -> PoolRules | None:
        """The pool that its first step needs."""
        return self.steps[0].description.pool

    @property
    def declares_num_outputs(self) -> bool:
        """Whether it is known how many records it makes of one, before it has made any. Synth's own steps say so; what
        a step of someone's own returns may be anything, unless it has a number as its `num_outputs`."""
        return all(is_own_step(step.function) or step.description.declares_num_outputs for step in self.steps)

    def filters_after(self, index: int) -> list[Step]:
        """The steps that can tell from the beginning of what this one writes that they will reject it.

        They end where a step may change the record, or has others compared with it, whether it is kept or not.
        """
        following = takewhile(lambda step: step.description.is_filter, self.steps[index + 1 :])
        return [step for step in following if step.description.doomed]

    @property
    def duplicates(self) -> dict[str, Duplicates]:
        """What its steps against duplicates compare by, by their names, in order."""
        return {step.name: one for step in self.steps if (one := step.description.duplicates) is not None}


def module_of_step(function: Any) -> str:
    """Where a step is from, whether it is a function, one that is bound to parameters, or an object."""
    function = function.func if isinstance(function, functools.partial) else function
    return str(getattr(function if inspect.isroutine(function) else type(function), "__module__", ""))


def is_own_step(function: Any) -> bool:
    """Whether it is one of Synth's."""
    return module_of_step(function).startswith("synth.")
