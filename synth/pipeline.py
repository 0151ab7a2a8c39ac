"""A strategy defined in Python: steps in order, serialized as in a strategy's YAML.

Processes on other machines instantiate the steps again. So a step needs an importable name: Magpie(n_turns=2), an async
function of a file, functools.partial(function, words=10), a class, or functools.partial(a_class, key=value). A function
of a notebook's cell has none, and is refused.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from synth.components.own_defaults import default_of
from synth.errors import ConfigError

Keys = dict[str, Any]


class Pipeline:
    """Steps in order. `models` and `columns` are the keys of a strategy's YAML: further models by name, and additional
    columns of the dataset.

    Raises ConfigError for a step without an importable name, or with parameters that are not plain data.
    """

    def __init__(
        self,
        *steps: Any,
        name: str = "pipeline",
        models: Mapping[str, Any] | None = None,
        columns: Mapping[str, str] | None = None,
    ):
        if not steps:
            raise ConfigError("Pipeline: needs at least one step")
        self.name, self.steps = name, steps
        self._models, self._columns = models, columns

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(_target(_function(step)) for step in self.steps)}, name={self.name!r})"

    def keys(self) -> Keys:
        """The keys of a strategy's YAML."""
        steps = [_keys(one, f"step {place}") for place, one in enumerate(self.steps, 1)]
        given = {"models": self._models, "columns": self._columns}
        return {"name": self.name, **{key: dict(one) for key, one in given.items() if one is not None}, "steps": steps}


def _keys(step: Any, where: str) -> Keys:
    """`_target_`, and the parameters that differ from their defaults."""
    function = _function(step)
    target = _target(function)
    module = getattr(function, "__module__", None)
    if module == "__main__" or "<" in target or not callable(function):
        label = target if callable(function) else repr(step)
        raise ConfigError(f"{where}: {label} must be in a file that can be imported, such as my_steps.py")
    if isinstance(step, partial):
        if step.args:
            raise ConfigError(f"{where}: give the values of {target} by name, as in partial(function, key=value)")
        given = step.keywords
    elif inspect.isroutine(step) or inspect.isclass(step):
        given = {}
    elif is_dataclass(step):
        given = dict(_changed(step))
    else:
        raise ConfigError(
            f"{where}: the parameters of {target} are unknown; use functools.partial({function.__name__}, key=value)"
        )
    return {"_target_": target, **{name: _plain(one, function, name, where) for name, one in given.items()}}


def _function(step: Any) -> Any:
    """The function or class behind a step."""
    if isinstance(step, partial):
        return step.func
    return step if inspect.isroutine(step) or inspect.isclass(step) else type(step)


def _target(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"


def _changed(made: Any) -> Iterator[tuple[str, Any]]:
    for field in fields(made):
        value = getattr(made, field.name)
        if field.init and value != default_of(type(made), field.name):
            yield field.name, value


def _plain(value: Any, owner: Callable[..., Any], name: str, where: str) -> Any:
    """As plain data. For a parameter whose type is known its keys suffice; another object needs a _target_."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one, owner, name, where) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, owner, name, where) for item in value]
    if is_dataclass(value) and not inspect.isclass(value) and type(value) in _kinds(owner, name):
        given = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        return {key: _plain(one, type(value), key, where) for key, one in given.items() if one is not None}
    return _keys(value, f"{where}, {name}")


def _kinds(owner: Callable[..., Any], name: str) -> set[type]:
    """The classes in a parameter's type, and the class of its default."""
    try:
        hints = typing.get_type_hints(owner.__init__ if inspect.isclass(owner) and not is_dataclass(owner) else owner)
    except (NameError, TypeError):
        hints = {}
    found, left = set(), [hints.get(name)]
    while left:
        kind = left.pop()
        left += typing.get_args(kind)
        found |= {kind} if inspect.isclass(kind) else set()
    if is_dataclass(owner):
        default = default_of(owner, name)
        found |= {type(one) for one in (default if isinstance(default, list) else [default])}
    return found
