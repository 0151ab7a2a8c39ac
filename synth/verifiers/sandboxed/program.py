"""The program's side: runs the program of an answer, and calls its functions for the tests.

Objects that are not plain data stay here; the tests call them by their numbers. Whatever the program raises is sent as
the nearest built-in exception.
"""

from __future__ import annotations

import sys
import types

from synth.verifiers.sandboxed.wire import EXCEPTIONS, Wire, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def serve(wire: Wire, program: str) -> None:
    """Run the program, send its names, and then answer what the tests ask of its objects, until they end."""
    kept: list[Any] = []

    def keep(value: Any) -> int:
        kept.append(value)
        return len(kept) - 1

    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    try:
        exec(compile(program, "solution.py", "exec"), module.__dict__)
        wire.send({"names": described(vars(module), keep)})
    except BaseException as error:
        wire.send(raised(error))
        return
    while True:
        asked = wire.receive()
        try:
            arguments = [decode(one, kept.__getitem__) for one in asked["arguments"]]
            named = {name: decode(one, kept.__getitem__) for name, one in asked["named"].items()}
            target = kept[asked["handle"]]
            called = target if asked["name"] is None else getattr(target, asked["name"])
            value = called(*arguments, **named) if asked["call"] else called
            after = [encode(argument, keep) if type(argument) in (list, dict, set) else None for argument in arguments]
            wire.send({"value": encode(value, keep), "after": after})
        except BaseException as error:
            wire.send(raised(error))


def described(names: dict[str, Any], keep: Callable[[Any], int]) -> dict[str, Any]:
    return {
        name: {"module": value.__name__} if isinstance(value, types.ModuleType) else encode(value, keep)
        for name, value in names.items()
        if not name.startswith("__")
    }


def raised(error: BaseException) -> dict[str, str]:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    name = next((name for name in kinds if name in EXCEPTIONS), "RuntimeError")
    return {"raised": name, "message": str(error)[:500], "kind": type(error).__name__}
