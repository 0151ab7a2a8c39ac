"""Instantiates components: the classes and functions that a `_target_` names, from plain data.

A component's own signature defines its keys and their types; none are listed here. Errors are ConfigErrors, one line
with the key and the nearest valid choice.

Independent of Hydra. Protocols define what a component has to provide (protocols.py), and locate which names are
allowed (targets.py).
"""

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pydantic

from synth.components.own_defaults import completed
from synth.components.protocols import arguments, defaults, role, unfit, unfit_target
from synth.components.targets import is_own, locate, module_of
from synth.errors import ConfigError, nearest
from synth.paths import local_path

_OF_HYDRA = ("_args_", "_recursive_", "_convert_")
_WORDS = {
    r", unable to .*": "",
    r"a valid integer.*": "a whole number",
    r"greater than or equal to": "at least",
    r"less than or equal to": "at most",
    r"a (valid )?dictionary( or an instance of .*)?$": "a mapping of keys",
}


def refuse_unknown_keys(values: Mapping[str, Any], known: Iterable[str], key: str = "") -> None:
    known = list(known)
    for name in values:
        if name not in known:
            raise ConfigError(f"{_join(key, name)}: no such key{nearest(str(name), known)}")


def build(node: Any, key: str, protocol: type, **given: Any) -> Any:
    """The component that `node` describes: a class is called with the other keys, a function is bound to them.

    It is checked against `protocol`: a class before it is called, by its methods, and then the whole object. The first
    parameters of a function, those of the protocol's `__call__`, stay open. `given` values are passed to a class that
    takes them, and are no keys of its node.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        is_name = isinstance(node, str) and node.isidentifier()
        hint = f"; did you mean '${{{key.partition('.')[0]}.{node}}}'?" if is_name else ""
        raise ConfigError(f"{key}: needs a _target_, the dotted name of a class or function{hint}")
    dotted = node["_target_"]
    target = locate(dotted, f"{key}._target_")
    _refuse_unfit(unfit_target(target, protocol, by_name=is_own(module_of(target))), protocol, dotted, key)
    for name in _OF_HYDRA:
        if name in node:
            raise ConfigError(f"{key}.{name}: give parameters by name, and components where a step takes them")
    # A user of Hydra may write _partial_: functions are always bound.
    values = {name: value for name, value in node.items() if name not in ("_target_", "_partial_")}
    if inspect.isclass(target):
        left_to_us = {
            name: values.pop(name) for name in defaults(protocol) if name in values and not _takes(target, name)
        }
        made = construct(target, values, key, **given)
        _complete(made, protocol, left_to_us, key)
    else:
        made = _bound(target, _fitted(target, values, key, len(arguments(protocol))))
    _refuse_unfit(unfit(made, protocol, started=False), protocol, dotted, key)
    return made


def _complete(made: Any, protocol: type, values: Mapping[str, Any], key: str) -> None:
    """Set attributes that the protocol has defaults for and the class lacks: from its node, or the default."""
    types = typing.get_type_hints(protocol, include_extras=True)
    for name, default in defaults(protocol).items():
        if name in values or not hasattr(made, name):
            value = _of_type(types[name], values.get(name, default), _join(key, name))
            try:
                object.__setattr__(made, name, value)
            except AttributeError:  # because of its __slots__
                raise ConfigError(f"{_join(key, name)}: {type(made).__name__} does not allow this attribute") from None


def takes(node: Mapping[str, Any], name: str, key: str) -> bool:
    """Whether the `_target_` of a node has this parameter. Raises ConfigError if it names nothing."""
    return name in _parameters(located(node, key))


def located(node: Mapping[str, Any], key: str) -> Any:
    """The class or function that a node's `_target_` names, None without one. Raises ConfigError if it names
    nothing."""
    dotted = node.get("_target_")
    return locate(dotted, f"{key}._target_") if isinstance(dotted, str) else None


def _takes(target: Callable[..., Any], name: str) -> bool:
    parameters = _parameters(target)
    return name in parameters or any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())


def _refuse_unfit(problem: str | None, protocol: type, dotted: str, key: str) -> None:
    if problem:
        raise ConfigError(f"{key}._target_: {dotted!r} is not a valid {role(protocol)}: {problem}")


def _bound(function: Any, values: Mapping[str, Any]) -> Any:
    """The function bound to its parameters, with the attributes that describe it."""
    if not values:
        return function
    made = functools.partial(function, **values)
    made.__dict__.update({name: one for name, one in vars(function).items() if not name.startswith("_")})
    return made


def part(given: Any, key: str, protocol: type) -> Any:
    """A component given as a parameter of a step: instantiated from its node, or the object itself.

    Raises ConfigError and ValueError if it does not fit the protocol.
    """
    if isinstance(given, Mapping):
        return build(given, key, protocol)
    if problem := unfit(given, protocol):
        raise ValueError(f"{type(given).__name__} is not a valid {role(protocol)}: {problem}")
    return given


def construct(target: Callable[..., Any], values: Any, key: str, **given: Any) -> Any:
    """Call `target` with the keys of a mapping, and with the `given` values that it takes."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}: must be a mapping of keys, got {_shown(values)}")
    taken = {name: value for name, value in given.items() if name in _parameters(target)}
    values = _fitted(target, values, key, 0, taken)
    try:
        return target(**values, **taken)
    except pydantic.ValidationError as error:
        raise ConfigError(_one_line(error, target, values, key)) from None
    except (Exception, SystemExit) as error:  # of a user's class
        raise ConfigError(f"{key}: {error}" if isinstance(error, ValueError) else f"{key}: {error!r}") from None


def _fitted(
    target: Callable[..., Any], values: Mapping[str, Any], key: str, bound: int, taken: Iterable[str] = ()
) -> dict[str, Any]:
    """The values converted to the types of the signature; refuses unknown keys and missing ones."""
    parameters = {name: one for name, one in list(_parameters(target).items())[bound:] if name not in taken}
    named = [
        parameter.name
        for parameter in parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        refuse_unknown_keys(values, named, key)
    for name in named:
        if parameters[name].default is inspect.Parameter.empty and name not in values:
            raise ConfigError(f"{_join(key, name)}: is missing")
    values = completed(target, values)
    types = _types(target)
    return {name: _of_type(types[name], value, _join(key, name)) if name in types else value
            for name, value in values.items()}  # fmt: skip


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return {}


def _types(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function's or class's parameters. Pydantic classes validate their own."""
    if inspect.isclass(target) and hasattr(target, "__pydantic_validator__"):
        return {}
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except Exception:  # an annotation may name something that exists for type checkers only
        return {}


def _of_type(kind: Any, value: Any, key: str) -> Any:
    try:
        checker = pydantic.TypeAdapter(kind, config={"arbitrary_types_allowed": True})
    except pydantic.PydanticUserError:  # the type has its own configuration
        checker = pydantic.TypeAdapter(kind)
    try:
        found = checker.validate_python(value)
        return local_path(found) if isinstance(found, Path) else found
    except pydantic.ValidationError as error:
        raise ConfigError(_one_line(error, kind, value, key)) from None
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def _one_line(error: pydantic.ValidationError, target: Any, values: Any, key: str) -> str:
    """The first error. For a union, the expected types of all branches at that place."""
    problems = [(_path(problem, values), problem) for problem in error.errors(include_url=False)]
    # Of a union's branches, the one that got furthest was meant.
    path, problem = max(problems, key=lambda one: len(one[0]))
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError) and str(cause).startswith(f"{key}."):
        return str(cause)  # has its full key already
    dotted = _join(key, *path)
    if problem["type"] == "missing":
        return f"{dotted}: is missing"
    if problem["type"] == "unexpected_keyword_argument":
        return f"{dotted}: no such key{nearest(str(path[-1]), _names_at(target, path[:-1]))}"
    messages = dict.fromkeys(_message(other) for place, other in problems if place == path)
    got = f", got {_shown(problem['input'])}" if path or not isinstance(problem["input"], Mapping) else ""
    if problem["type"] == "value_error" and got and not isinstance(problem["input"], str | int | float):
        got = ""
    return f"{dotted}: {' or '.join(messages).replace(' or must be ', ' or ')}{got}"


def _path(problem: Mapping[str, Any], values: Any) -> list[str | int]:
    """The path in the data. Pydantic adds the branches of unions to it, which users don't know."""
    path: list[str | int] = []
    for part in problem["loc"]:
        inside = isinstance(values, Mapping) and part in values
        if inside or (isinstance(values, Sequence) and isinstance(part, int) and part < len(values)):
            path.append(part)
            values = values[part]
    if problem["type"] == "missing":
        path.append(problem["loc"][-1])
    return path


def _names_at(target: Any, path: Iterable[str | int]) -> list[str]:
    """The valid keys at a place, by the annotations."""
    for part in path:
        if isinstance(part, str):
            target = _dataclass_in(typing.get_type_hints(target).get(part)) if is_dataclass(target) else None
    return [field.name for field in fields(target)] if is_dataclass(target) else []


def _dataclass_in(kind: Any) -> Any:
    if is_dataclass(kind):
        return kind
    return next((found for part in typing.get_args(kind) if (found := _dataclass_in(part))), None)


def _message(problem: Mapping[str, Any]) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    for pydantics, ours in _WORDS.items():
        text = re.sub(pydantics, ours, text)
    return text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _join(key: str, *parts: str | int) -> str:
    for part in parts:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key
