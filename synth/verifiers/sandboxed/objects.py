"""The program's objects as its tests see them: handles, which forward calls and operators over the wire.

Promises: a handle equals no plain value, whatever the program claims, so an object with a method `__eq__` passes no
comparison with an expected result.
"""

from __future__ import annotations

from synth.verifiers.sandboxed.wire import EXCEPTIONS, Wire, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Unsaid(BaseException):
    """The tests use a value that can't be sent: they can't be run."""


class Handle:
    """An object of the program: a function, a class, an instance."""

    def __init__(self, wire: Wire, number: int):
        object.__setattr__(self, "_of", (wire, number))

    def __getattr__(self, name: str) -> Any:
        return ask(self, name, call=False)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return ask(self, None, *arguments, **named)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and bool(ask(self, "__eq__", other) is True)

    def __hash__(self) -> int:
        return int(ask(self, "__hash__"))


def special(name: str) -> Callable[..., Any]:
    def method(self: Handle, *arguments: Any) -> Any:
        try:
            return ask(self, name, *arguments)
        except AttributeError as error:  # it lacks the method
            raise TypeError(str(error)) from None

    return method


def special_of_two(name: str) -> Callable[..., Any]:
    def method(self: Handle, other: Any) -> Any:
        # Else an object whose difference to any number is 0 would pass as the right number.
        return ask(self, name, other) if isinstance(other, Handle) else NotImplemented

    return method


for _name in "len getitem setitem delitem iter next str repr enter exit int float neg abs".split():
    setattr(Handle, f"__{_name}__", special(f"__{_name}__"))
for _name in "lt le gt ge add sub mul truediv floordiv mod pow matmul or and".split():
    setattr(Handle, f"__{_name}__", special_of_two(f"__{_name}__"))


def ask(handle: Handle, name: str | None, *arguments: Any, call: bool = True, **named: Any) -> Any:
    """The result of calling the object, or its attribute `name`; without `call`, the attribute itself. Lists, sets and
    dictionaries among the arguments change as the program changes them. Raises what the program raises, as a built-in
    exception, and Unsaid."""
    wire, number = object.__getattribute__(handle, "_of")

    def own(value: Any) -> int:
        if isinstance(value, Handle):
            return int(object.__getattribute__(value, "_of")[1])
        raise Unsaid(f"the tests give the program a {type(value).__name__}, which is no plain data")

    def handle_of(number: int) -> Handle:
        return Handle(wire, number)

    sent = {
        "arguments": [encode(argument, own) for argument in arguments],
        "named": {n: encode(v, own) for n, v in named.items()},
    }
    wire.asked = True
    wire.send({"handle": number, "name": name, "call": call, **sent})
    reply = wire.receive()
    if "raised" in reply:
        raise exception(reply)
    for argument, after in zip(arguments, reply["after"], strict=False):
        changed = None if after is None else decode(after, handle_of)
        if changed is not None and type(changed) is type(argument) and changed != argument:
            argument.clear()
            (argument.extend if type(argument) is list else argument.update)(changed)
    return decode(reply["value"], handle_of)


def exception(reply: dict[str, Any]) -> Exception:
    made = EXCEPTIONS.get(reply["raised"], RuntimeError)
    kind = str(reply["kind"])
    message = str(reply["message"])
    try:
        return made(message if kind == made.__name__ else f"{kind}: {message}")
    except TypeError:  # UnicodeDecodeError and others need more arguments
        return RuntimeError(f"{kind}: {message}")
