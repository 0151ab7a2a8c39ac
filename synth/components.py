"""Components: the classes and functions that a `_target_` names, built from plain data.

A component's own signature says which keys it takes and of which types; nothing about single ones is written
here. What does not fit is a ConfigError, one line that names the key and the nearest valid choice.

Knows nothing of Hydra, nor of what a component is for.
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import pydantic

_WORDS = {
    r", unable to .*": "",
    r"a valid integer.*": "a whole number",
    r"greater than or equal to": "at least",
    r"less than or equal to": "at most",
    r"a (valid )?dictionary( or an instance of .*)?$": "a mapping of keys",
}


class ConfigError(ValueError):
    """Bad configuration or input: one line that names the key or file. Nothing has been started.

    What it names may come from a file of anyone's: signs that do something to a terminal are spelled out.
    """

    def __init__(self, message: str):
        line = " ".join(message.split())
        super().__init__("".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line))


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the most similar choice, else the choices themselves if they are few."""
    choices = sorted(set(choices))
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.75)
    if not close:
        # The last part of a dotted key weighs more than a shared prefix does.
        last = {choice: choice.rpartition(".")[2] for choice in choices}
        best = difflib.get_close_matches(word.rpartition(".")[2], last.values(), n=1, cutoff=0.6)
        close = [choice for choice in choices if best and last[choice] == best[0]][:1]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; choose from {', '.join(choices)}" if 0 < len(choices) <= 30 else ""


def refuse_unknown_keys(values: Mapping[str, Any], known: Iterable[str], key: str = "") -> None:
    known = list(known)
    for name in values:
        if name not in known:
            raise ConfigError(f"{_join(key, name)}: no such key{nearest(str(name), known)}")


def build(node: Any, key: str, *, bound: int = 0, **given: Any) -> Any:
    """The component that `node` describes: a class is called with the other keys, a function is bound to them.

    A function's first `bound` parameters are left for the one who calls it. `given` values are for a class that
    takes them, and are no keys of its node.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise ConfigError(f"{key}: needs a _target_, the dotted name of a class or function")
    target = _locate(node["_target_"], f"{key}._target_")
    # Who knows Hydra may write _partial_: functions are bound in any case.
    values = {name: value for name, value in node.items() if name not in ("_target_", "_partial_")}
    if inspect.isclass(target):
        return construct(target, values, key, **given)
    values = _fitted(target, values, key, bound)
    return functools.partial(target, **values) if values else target


def part(given: Any, key: str, method: str) -> Any:
    """What a step is given for a parameter that takes a component: its node, or the object itself.

    `method` is what it must have, as people read it: `score(messages)`. Raises ConfigError and ValueError.
    """
    made = build(given, key) if isinstance(given, Mapping) else given
    if not callable(getattr(made, method.partition("(")[0], None)):
        raise ValueError(f"{type(made).__name__} has no {method}")
    return made


def construct(target: Callable[..., Any], values: Any, key: str, **given: Any) -> Any:
    """`target` called with the keys of a mapping, and with those `given` values that it takes."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}: must be a mapping of keys, got {_shown(values)}")
    taken = {name: value for name, value in given.items() if name in _parameters(target)}
    values = _fitted(target, values, key, 0, taken)
    try:
        return target(**values, **taken)
    except pydantic.ValidationError as error:
        raise ConfigError(_one_line(error, target, values, key)) from None
    except Exception as error:  # the class may be anyone's
        raise ConfigError(f"{key}: {error}" if isinstance(error, ValueError) else f"{key}: {error!r}") from None


def _fitted(
    target: Callable[..., Any], values: Mapping[str, Any], key: str, bound: int, taken: Iterable[str] = ()
) -> dict[str, Any]:
    """The values in the types that the signature asks for; refuses unknown keys and missing ones."""
    parameters = {name: one for name, one in list(_parameters(target).items())[bound:] if name not in taken}
    named = [one.name for one in parameters.values() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not any(one.kind == one.VAR_KEYWORD for one in parameters.values()):
        refuse_unknown_keys(values, named, key)
    for name in named:
        if parameters[name].default is inspect.Parameter.empty and name not in values:
            raise ConfigError(f"{_join(key, name)}: is missing")
    types = _types(target)
    return {name: _of_type(types[name], value, _join(key, name)) if name in types else value
            for name, value in values.items()}  # fmt: skip


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):  # some built-in functions have none
        return {}


def _types(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function's or class's parameters. Pydantic's classes look after their own."""
    if inspect.isclass(target) and hasattr(target, "__pydantic_validator__"):
        return {}
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except Exception:  # an annotation may name what exists for a type checker only
        return {}


def _of_type(kind: Any, value: Any, key: str) -> Any:
    try:
        checker = pydantic.TypeAdapter(kind, config={"arbitrary_types_allowed": True})
    except pydantic.PydanticUserError:  # the type has a configuration of its own
        checker = pydantic.TypeAdapter(kind)
    try:
        return checker.validate_python(value)
    except pydantic.ValidationError as error:
        raise ConfigError(_one_line(error, kind, value, key)) from None


def _one_line(error: pydantic.ValidationError, target: Any, values: Any, key: str) -> str:
    """The first thing that is wrong. Of a union's branches, all that was tried at that place."""
    problems = [(_path(problem, values), problem) for problem in error.errors(include_url=False)]
    # In a union the branch that got furthest is the one that was meant.
    path, problem = max(problems, key=lambda one: len(one[0]))
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
    """The place in the data. Pydantic adds the branches of unions to it, which are no business of the user's."""
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
    """The keys that belong at a place, as the annotations tell."""
    for part in path:
        if isinstance(part, str):
            target = _dataclass_in(typing.get_type_hints(target).get(part)) if is_dataclass(target) else None
    return [one.name for one in fields(target)] if is_dataclass(target) else []


def _dataclass_in(kind: Any) -> Any:
    if is_dataclass(kind):
        return kind
    return next((found for part in typing.get_args(kind) if (found := _dataclass_in(part))), None)


def _message(problem: Mapping[str, Any]) -> str:
    text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
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


def _locate(dotted: str, key: str) -> Any:
    module_name, _, name = dotted.rpartition(".")
    if not module_name:
        raise ConfigError(f"{key}: {dotted!r} is no dotted name, such as my_steps.{name or 'step'}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing runs the module, which may be anyone's and fail in any way
        hint = _nearest_module(error.name or "") if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigError(f"{key}: {dotted!r} can't be imported ({_reason(error)}){hint}") from None
    found = getattr(module, name, None)
    if not callable(found):
        public = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise ConfigError(f"{key}: {module_name!r} has no class or function {name!r}{nearest(name, public)}")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _nearest_module(missing: str) -> str:
    parent, _, name = missing.rpartition(".")
    try:
        path = importlib.import_module(parent).__path__ if parent else None
    except (ImportError, AttributeError):
        return ""
    close = difflib.get_close_matches(name, [one.name for one in pkgutil.iter_modules(path)], n=1, cutoff=0.75)
    return f"; did you mean {_join(parent, close[0])!r}?" if close else ""
