"""A strategy: its steps in order, and what they declare.

Knows nothing of records, engines or shards: chain.py runs records through the steps.
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
from synth.steps.endpoints import MAIN
from synth.steps.function import Description, describe
from synth.steps.pool import PoolRules
from synth.steps.rows import EXTRA
from synth.template import needed

NO_STEPS = ("name", "steps", "columns", "models")  # keys of a strategy; all others are steps


@dataclass(frozen=True)
class Step:
    """A step's function, its name for seeds and lineage, and the columns that it declares to add.

    `columns` is None if the step declares none, as a plain function. `model` is the model of the run for calls that
    name no other. `system_prompt` is a template over the record's columns, used for calls without a system prompt of
    their own.
    """

    name: str
    function: Any
    columns: Mapping[str, pa.DataType] | None = None
    model: str = MAIN
    system_prompt: str | None = None

    @functools.cached_property
    def description(self) -> Description:
        """The attributes that it declares."""
        return describe(self.function)

    @property
    def needs(self) -> list[Needs]:
        """The columns that it declares to read, and those of its system prompt."""
        return [*self.description.needs, *((name,) for name in sorted(needed(self.system_prompt or "")))]

    @property
    def models(self) -> set[str]:
        """The models that it is known to call."""
        return self.generating | set(self.pooling)

    @property
    def pooling(self) -> Mapping[str, Task]:
        """The models that score or embed for it, with their tasks."""
        return self.description.pooling or {}

    @property
    def generating(self) -> set[str]:
        """The models that are known to generate for it."""
        calls = self.description.calls
        named = [None] if calls is None else [call.model for call in calls]
        return {name or self.model for name in named} | set(self.description.models)

    def calls_of(self, model: str) -> list[Sampling]:
        """Its declared calls of this model."""
        return [call for call in self.description.calls or () if (call.model or self.model) == model]

    @property
    def models_as_user(self) -> set[str]:
        """The models that draw a user's turn for it."""
        return {call.model or self.model for call in self.description.as_user}

    @property
    def declares_calls(self) -> bool:
        """Whether its calls are declared; those of a user's function are not."""
        return is_own_step(self.function) or self.description.calls is not None


def step_names(strategy: Mapping[str, Any]) -> list[str]:
    """The names of the steps of a strategy's YAML, in order: their keys, or their targets for steps defined within the
    list; `judge#2` for the second of a name."""
    names: list[str] = []
    for step in strategy.get("steps", []):
        name = step if isinstance(step, str) else str(step.get("_target_")).rpartition(".")[2]
        count = sum(one.partition("#")[0] == name for one in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return names


@dataclass(frozen=True)
class Strategy:
    """Steps in order. `declared` are the columns of the strategy's YAML, None if it has no such key.

    Values of a record outside the dataset's columns are passed from step to step and not written. If no columns are
    declared, a column `extra` keeps them, as JSON. `of_model` are columns that come with the model, `of_source` those
    that a source draws.
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

    @functools.cached_property  # read several times for each record
    def columns(self) -> dict[str, pa.DataType]:
        """The dataset's columns beside those of the contract. `thinking`, if a step sets a mode of thinking, is the
        mode of the model that wrote the response. With a text column `tools`, `messages` have tool calls."""
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
        """The pool that its first step declares."""
        return self.steps[0].description.pool

    @property
    def declares_num_outputs(self) -> bool:
        """Whether the number of outputs per record is known in advance. Synth's own steps declare it; a user's step
        does if its `num_outputs` is a number."""
        return all(is_own_step(step.function) or step.description.declares_num_outputs for step in self.steps)

    def filters_after(self, index: int) -> list[Step]:
        """The following steps that can reject a record while this one still writes its text.

        The list ends at a step that may change the record, or that compares it with others.
        """
        following = takewhile(lambda step: step.description.is_filter, self.steps[index + 1 :])
        return [step for step in following if step.description.doomed]

    @property
    def duplicates(self) -> dict[str, Duplicates]:
        """The `duplicates` of its dedup steps by name, in order."""
        return {step.name: one for step in self.steps if (one := step.description.duplicates) is not None}


def module_of_step(function: Any) -> str:
    """The module of a step: of a function, a partial, or an object."""
    function = function.func if isinstance(function, functools.partial) else function
    return str(getattr(function if inspect.isroutine(function) else type(function), "__module__", ""))


def is_own_step(function: Any) -> bool:
    """Whether it is one of Synth's."""
    return module_of_step(function).startswith("synth.")
