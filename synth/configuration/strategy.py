"""Instantiates a strategy from its keys, and validates its steps before any of them runs.

Raises ConfigError with the key for an invalid step, an invalid declaration of a step, or a model that the run lacks.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from synth.components.instantiate import build, takes
from synth.components.protocols import unfit
from synth.configuration.column_types import type_from_text
from synth.engines import Sampling
from synth.errors import ConfigError, nearest, reason
from synth.quality.duplicates import Index
from synth.records import Needs, rejected_schema
from synth.steps.endpoints import MAIN
from synth.steps.function import Describes, Description, StepFunction, describe, described
from synth.steps.strategy import NO_STEPS, Step, Strategy, step_names
from synth.template import Template

Keys = Mapping[str, Any]

_POOLING = "vllm_pooling"
MOST_NAME = 200  # bytes of UTF-8; a file system takes 255


def strategy_of(node: Mapping[str, Any]) -> Strategy:
    """The steps in the order of `steps`, by key or inline. All keys but NO_STEPS are steps."""
    steps = node.get("steps")
    if not isinstance(steps, list) or not steps:
        raise ConfigError("strategy.steps: needs a list with at least one step")
    named = {name: value for name, value in node.items() if name not in NO_STEPS}
    for name, value in named.items():
        if not isinstance(value, Mapping) or "_target_" not in value:
            others = [other for other in (*NO_STEPS, *named) if other != name]
            raise ConfigError(
                f"strategy.{name}: is neither a key of a strategy nor a step with a _target_{nearest(name, others)}"
            )
    built: list[tuple[Any, Mapping[str, pa.DataType] | None, str, str | None]] = []
    for index, step in enumerate(steps):
        key = f"strategy.steps[{index}]"
        if isinstance(step, str):
            if step not in named:
                raise ConfigError(f"{key}: {step!r} is not a step of this strategy{nearest(step, named)}")
            key, step = f"strategy.{step}", named[step]
        step, model = _without_model(step, key)
        step, system_prompt = _without_system_prompt(step, key)
        function = build(step, key, StepFunction)
        description = _described(function, step["_target_"], key)
        if description.pool is not None and built:
            raise ConfigError(f"{key}: {step['_target_']!r} needs a pool in record order, so it must be the first step")
        columns = None if description.columns is None else _columns(description.columns, f"{key}.columns")
        built.append((function, columns, model, system_prompt))
    declared = node.get("columns")
    columns = None if declared is None else _columns(declared, "strategy.columns")
    steps = [Step(name, *one) for name, one in zip(step_names(node), built, strict=True)]
    return Strategy(_name(node.get("name")), steps, columns)


def _without_model(step: Any, key: str) -> tuple[Any, str]:
    """A step's node and the name of its model. `model` is no parameter of the `_target_`, unless that takes one."""
    if not isinstance(step, Mapping) or "model" not in step or takes(step, "model", key):
        return step, MAIN
    if step["model"] is None:
        return {name: value for name, value in step.items() if name != "model"}, MAIN
    if not isinstance(step["model"], str):
        raise ConfigError(f"{key}.model: must be the name of a model of the run, got {step['model']!r}")
    return {name: value for name, value in step.items() if name != "model"}, step["model"]


def _without_system_prompt(step: Any, key: str) -> tuple[Any, str | None]:
    """The same for the system prompt of its calls, a template over the record's columns."""
    if not isinstance(step, Mapping) or "system_prompt" not in step or takes(step, "system_prompt", key):
        return step, None
    try:
        given: str | None = TypeAdapter(Template | None).validate_python(step["system_prompt"], strict=True)
    except ValidationError as error:
        raise ConfigError(f"{key}.system_prompt: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return {name: value for name, value in step.items() if name != "system_prompt"}, given


def _name(given: Any) -> str:
    """The name, which is also a folder's: runs/NAME."""
    name = "strategy" if given is None else str(given)
    wrong = {
        "is empty": not name.strip(),
        "has a slash, but names a folder": "/" in name or "\\" in name,
        "cannot name a folder": name in (".", ".."),
        "has characters that can't be printed": not name.isprintable(),
        f"is longer than {MOST_NAME} bytes": len(name.encode(errors="surrogatepass")) > MOST_NAME,
    }
    for what, is_so in wrong.items():
        if is_so:
            raise ConfigError(f"strategy.name: {name[:80]!r} {what}")
    return name


def _described(function: Any, target: str, key: str) -> Description:
    """Raises ConfigError for invalid declarations."""
    problem = unfit(described(function), Describes, optional=True)
    try:
        if not problem:
            declared = describe(function)
            problem = _problem(declared)
    except Exception as error:  # of a user's step
        problem = repr(error)
    if problem:
        raise ConfigError(f"{key}: {target!r} has an invalid declaration: {problem}")
    return declared


def _problem(declared: Description) -> str | None:
    kinds: dict[str, Any] = {"needs": Sequence[Needs], "calls": Sequence[Sampling], "as_user": Sequence[Sampling]}
    for name, kind in kinds.items():
        answer = getattr(declared, name)
        if answer is not None:
            try:
                TypeAdapter(kind).validate_python(answer, strict=True)
            except ValidationError as error:
                return f"{name}() returns {answer!r}: {reason(error)}"
    if declared.num_outputs is not None and declared.num_outputs < 1:
        return f"its num_outputs must be a whole number above 0, or None, and is {declared.num_outputs}"
    if declared.duplicates is not None:
        problem = unfit(declared.duplicates.index(), Index)
        return problem and f"of duplicates.index(), {problem}"
    return None


def _columns(declared: Any, key: str) -> dict[str, pa.DataType]:
    if not isinstance(declared, Mapping):
        raise ConfigError(f"{key}: must be a mapping of column names to types, got {declared!r}")
    columns: dict[str, pa.DataType] = {}
    for name, text in declared.items():
        if name in rejected_schema().names:
            raise ConfigError(f"{key}.{name}: is a column that every dataset has; choose another name")
        try:
            columns[str(name)] = type_from_text(text)
        except ValueError as error:
            raise ConfigError(f"{key}.{name}: {error}") from None
    return columns


def models_asked(
    strategy: Strategy, node: Keys, models: Collection[str], pooling: Collection[str]
) -> tuple[list[str], list[str]]:
    """The run's `models` beside main that its steps use, and those that no step uses, if all steps declare their
    models. Refuses missing models, text from a `pooling` model and scores from another; `node` are the strategy's keys,
    for the messages."""
    asked: set[str] = set()
    for step in strategy.steps:
        for name in step.models:
            key = ".".join(["strategy", step.name, *(_place_of(name, node.get(step.name)) or ["model"])])
            if name not in (MAIN, *models):
                near = nearest(name, [MAIN, *models])
                folder = f"; the folder is ./{name}" if name in step.pooling and Path(name).is_dir() else ""
                raise ConfigError(f"{key}: there is no model {name!r} in this run{folder or near}")
            if name in pooling and name in step.generating and step.declares_calls:
                others = [one for one in (MAIN, *models) if one not in pooling]
                raise ConfigError(f"{key}: {name!r} cannot generate text, it is a pooling model{nearest(name, others)}")
            if name in step.pooling and name not in pooling:
                near = nearest(name, pooling) if pooling else f"; set models.NAME.engine={_POOLING} for one that can"
                raise ConfigError(f"{key}: {name!r} generates text, and cannot {step.pooling[name]}{near}")
            asked.add(name)
    tell = all(step.declares_calls for step in strategy.steps)
    idle = [name for name in models if tell and name not in asked]
    return [name for name in models if name in asked], idle


def _place_of(name: str, node: Any) -> list[str] | None:
    """The path of keys to a model's name."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if value == name or (isinstance(value, list) and name in value):
            return [str(key)]
        if (inside := _place_of(name, value)) is not None:
            return [str(key), *inside]
    return None
