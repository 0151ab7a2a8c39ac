"""Checks a class, a function or an object against a typing.Protocol, with all its members.

A method must exist, be async exactly if the protocol's is, and take the protocol's arguments. An attribute must exist
and have the protocol's type. Only names and signatures are checked: no method is called.

The methods of a class are checked before it is instantiated; the object is checked completely.
"""

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from functools import cached_property, partial
from typing import Any

import pydantic

from synth.errors import reason

LATER = "once it is started"  # Annotated[int, LATER]: an attribute that may be missing before the start


def role(protocol: type) -> str:
    """The protocol's name for users: `reward model` for RewardModel."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", protocol.__name__).lower().removesuffix(" function")


def unfit_target(target: Any, protocol: type, *, by_name: bool = False) -> str | None:
    """What a class or function lacks to fit the protocol, once it is instantiated or bound.

    With `by_name` a function's parameters must also have the protocol's names, as many functions take two arguments.
    """
    if inspect.isclass(target):
        methods = {name: one for name, one in _members(protocol) if inspect.isfunction(one)}
        return _first(_wrong_method(name, one, _of_class(target, name)) for name, one in methods.items())
    if not arguments(protocol):
        return "it is not a class"
    if by_name and _arguments(target)[: len(arguments(protocol))] != arguments(protocol):
        return f"it does not take ({', '.join(arguments(protocol))})"
    return _wrong_call(target, "it", arguments(protocol), complete=False)


def unfit(made: Any, protocol: type, *, optional: bool = False, started: bool = True) -> str | None:
    """What an object lacks to fit the protocol. With `optional`, missing members are accepted. An object that is not
    `started` may lack LATER attributes."""
    wrong = []
    may_lack = defaults(protocol)
    for name, wanted in _members(protocol):
        if name == "__call__":
            wrong.append(_wrong_method(name, wanted, made))
            continue
        passed_on = hasattr(type(made), "__getattr__") and hasattr(made, name)  # delegated to another object
        there = passed_on or hasattr(type(made), name) or name in getattr(made, "__dict__", ())
        if (optional or name in may_lack) and not there:
            continue
        if inspect.isfunction(wanted):
            wrong.append(_wrong_method(name, wanted, getattr(made, name, None) if there else None))
        elif not (LATER in _metadata(wanted) and not started and _comes_later(made, name)):
            wrong.append(_wrong_attribute(name, wanted, made))
    return _first(wrong)


def arguments(protocol: type) -> list[str]:
    """The arguments of the protocol's `__call__`; empty if it has none."""
    call = vars(protocol).get("__call__")
    return _arguments(call) if call else []


def defaults(protocol: type) -> dict[str, Any]:
    """The attributes that a class may leave out, with their defaults."""
    found: dict[str, Any] = {}
    for kind in reversed(protocol.__mro__):
        names = inspect.get_annotations(kind) if getattr(kind, "_is_protocol", False) else ()
        found |= {name: vars(kind)[name] for name in names if name in vars(kind)}
    return found


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem), None)


def _members(protocol: type) -> Iterator[tuple[str, Any]]:
    """Names with a method's function, or an attribute's type."""
    types = typing.get_type_hints(protocol, include_extras=True)
    for kind in reversed(protocol.__mro__):
        if kind in (object, typing.Protocol, typing.Generic):
            continue
        for name in {**vars(kind), **inspect.get_annotations(kind)}:
            member = vars(kind).get(name)
            if name.startswith("_") and name != "__call__":
                continue
            if isinstance(member, property | cached_property):
                getter = member.fget if isinstance(member, property) else member.func
                yield name, typing.get_type_hints(getter, include_extras=True).get("return", Any)
            elif inspect.isfunction(member):
                yield name, member
            elif name in types:
                yield name, types[name]


def _of_class(target: type, name: str) -> Any:
    """A method of the class, not of its metaclass, as bound to an object."""
    found = next((vars(kind)[name] for kind in target.__mro__ if name in vars(kind)), None)
    if isinstance(found, staticmethod | classmethod):
        return getattr(target, name)
    return partial(found, None) if inspect.isfunction(found) else found


def _wrong_method(name: str, wanted: Callable[..., Any], found: Any) -> str | None:
    label = "it" if name == "__call__" else f"{name}()"
    if not callable(found):
        arguments = ", ".join(_arguments(wanted))
        return f"it can't be called with ({arguments})" if name == "__call__" else f"it has no {name}({arguments})"
    if inspect.iscoroutinefunction(wanted) and not _gives_awaitable(found):
        return f"{label} must be async"
    if not _may_give_awaitable(wanted) and (_gives_awaitable(found) or inspect.isasyncgenfunction(_inner(found))):
        return f"{label} must not be async"
    return _wrong_call(found, label, _arguments(wanted), complete=True)


def _wrong_call(found: Any, label: str, arguments: list[str], *, complete: bool) -> str | None:
    """`complete`: there will be no further arguments."""
    try:
        signature = inspect.signature(found)
        bind = signature.bind if complete else signature.bind_partial
        bind(*([None] * len(arguments)))
    except TypeError as error:
        return f"{label} can't be called with ({', '.join(arguments)}): {error}"
    except ValueError:  # some built-in functions have no signature
        return f"{label} has no signature"
    return None


def _arguments(method: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


def _inner(found: Any) -> Any:
    while isinstance(found, partial):
        found = found.func
    if not (inspect.isroutine(found) or inspect.isclass(found)):  # a callable object
        found = type(found).__call__
    return inspect.unwrap(found)


def _gives_awaitable(found: Any) -> bool:
    inner = _inner(found)
    return inspect.iscoroutinefunction(inner) or _may_give_awaitable(inner)


def _may_give_awaitable(function: Any) -> bool:
    label = str(getattr(function, "__annotations__", {}).get("return"))
    return inspect.iscoroutinefunction(function) or any(one in label for one in ("Awaitable", "Coroutine", "Future"))


def _wrong_attribute(name: str, kind: Any, made: Any) -> str | None:
    try:
        value = getattr(made, name)
    except AttributeError:
        return f"it has no attribute {name}"
    except Exception as error:  # of a user's property
        return f"its {name} can't be read: {reason(error)}"
    shape = next((one for one in (kind, *typing.get_args(kind)) if _has_members(one)), None)
    if shape is not None and not (value is None and type(None) in typing.get_args(kind)):
        problem = unfit(value, shape)
        return problem and f"of its {name}, {problem}"
    try:
        pydantic.TypeAdapter(kind, config={"arbitrary_types_allowed": True}).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].replace("Input should be", "must be")
        return f"its {name} {message}, and is {value!r}"[:200]
    return None


def _has_members(kind: Any) -> bool:
    return inspect.isclass(kind) and (getattr(kind, "_is_protocol", False) or is_dataclass(kind))


def _metadata(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind)[1:] if typing.get_origin(kind) is typing.Annotated else ()


def _comes_later(made: Any, name: str) -> bool:
    """Whether a method sets it, or it is declared."""
    for kind in type(made).__mro__:
        if name in inspect.get_annotations(kind) or isinstance(vars(kind).get(name), property | cached_property):
            return True
        functions = (inspect.unwrap(member) for member in vars(kind).values() if inspect.isfunction(member))
        if any(name in function.__code__.co_names for function in functions):
            return True
    return False
