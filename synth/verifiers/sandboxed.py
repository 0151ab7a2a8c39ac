"""Runs inside the sandbox: a program in one of them, its tests in another. Standard library only.

They share a socket and nothing else. The tests call the program's functions through it, and both sides send plain data
as JSON: so the program sees arguments and never expected values, can't access the test runner's memory, and can't fake
a result by printing, patching or exiting. Objects that are not plain data stay with the program; the tests get handles,
whose methods they may call. A handle equals no plain value, whatever it claims.
"""

from __future__ import annotations

import builtins
import json
import os
import resource
import struct
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes a tenth of a small program's time
    from collections.abc import Callable
    from typing import Any

MOST_BYTES = 8 * 2**20  # of a message
_PLAIN = (str, int, float, bool, type(None))
_BY_TEXT: dict[tuple[str, str], Callable[[Any], Callable[[str], Any]]] = {
    ("decimal", "Decimal"): lambda kind: kind,
    ("fractions", "Fraction"): lambda kind: kind,
    ("datetime", "date"): lambda kind: kind.fromisoformat,
    ("datetime", "datetime"): lambda kind: kind.fromisoformat,
}
_ALLOWED_EXCEPTIONS = {
    name: one for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, Exception)
}


def limit(memory_mb: int, cpu_s: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory_mb * 2**20),
        (resource.RLIMIT_FSIZE, 2**20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # SIGXCPU shows the cause; SIGKILL if it is ignored


class Wire:
    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self.asked = False
        self.ended = False

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        if len(data) > MOST_BYTES:
            raise ValueError("too much data for a call")
        left = memoryview(struct.pack("!I", len(data)) + data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self.ended = True
            raise

    def receive(self) -> Any:
        (length,) = struct.unpack("!I", self._exactly(4))
        if length > MOST_BYTES:
            raise EOFError("too much data for a call")
        return json.loads(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            try:
                more = os.read(self._descriptor, min(count - len(found), 2**16))
            except ConnectionError:
                more = b""
            if not more:
                self.ended = True
                raise EOFError("the program has ended")
            found += more
        return bytes(found)


def encode(value: Any, keep: Callable[[Any], int]) -> Any:
    """As JSON; other objects by `keep(value)`, which gives each a number."""
    kind = type(value)
    if kind in (str, float, bool, type(None)):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return {"int": hex(value)} if abs(value) >> 60 else int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if kind is list:
        return {"list": [encode(one, keep) for one in value]}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"named": [kind.__name__, list(map(str, value._fields)), [encode(one, keep) for one in value]]}
    if isinstance(value, tuple):
        return {"tuple": [encode(one, keep) for one in value]}
    if kind in (set, frozenset):
        return {kind.__name__: [encode(one, keep) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(name, keep), encode(one, keep)] for name, one in value.items()]}
    if kind in (bytes, bytearray):
        return {kind.__name__: value.hex()}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is range:
        return {"range": [value.start, value.stop, value.step]}
    if (kind.__module__, kind.__name__) in _BY_TEXT:
        return {f"{kind.__module__}.{kind.__name__}": str(value)}
    return {"handle": keep(value)}


def decode(given: Any, handle: Callable[[int], Any]) -> Any:
    if isinstance(given, _PLAIN):
        return given
    ((kind, value),) = given.items()
    if kind == "handle":
        return handle(value)
    if kind == "int":
        return int(value, 16)
    if kind in ("bytes", "bytearray"):
        return getattr(builtins, kind).fromhex(value)
    if kind == "complex":
        return complex(*value)
    if kind == "range":
        return range(*value)
    if kind == "dict":
        return {decode(name, handle): decode(one, handle) for name, one in value}
    if kind == "named":
        import collections

        return collections.namedtuple(*value[:2])(*(decode(one, handle) for one in value[2]))
    if "." in kind:
        module, _, name = kind.partition(".")
        return _BY_TEXT[module, name](getattr(__import__(module), name))(value)
    makes = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
    return makes(decode(one, handle) for one in value)


# The program's side.


def serve(wire: Wire, settings: dict[str, Any]) -> None:
    limit(settings["memory_mb"], settings["cpu_s"])
    kept: list[Any] = []

    def keep(value: Any) -> int:
        kept.append(value)
        return len(kept) - 1

    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    try:
        exec(compile(settings["program"], "solution.py", "exec"), module.__dict__)
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
            after = [encode(one, keep) if type(one) in (list, dict, set) else None for one in arguments]
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
    name = next((name for name in kinds if name in _ALLOWED_EXCEPTIONS), "RuntimeError")
    return {"raised": name, "message": str(error)[:500], "kind": type(error).__name__}


# The tests' side.


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
    wire, number = object.__getattribute__(handle, "_of")

    def own(value: Any) -> int:
        if isinstance(value, Handle):
            return int(object.__getattribute__(value, "_of")[1])
        raise Unsaid(f"the tests give the program a {type(value).__name__}, which is no plain data")

    def handle_of(number: int) -> Handle:
        return Handle(wire, number)

    sent = {
        "arguments": [encode(one, own) for one in arguments],
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
    made = _ALLOWED_EXCEPTIONS.get(reply["raised"], RuntimeError)
    kind = str(reply["kind"])
    message = str(reply["message"])
    try:
        return made(message if kind == made.__name__ else f"{kind}: {message}")
    except TypeError:  # UnicodeDecodeError and others need more arguments
        return RuntimeError(f"{kind}: {message}")


def test(wire: Wire, job: dict[str, Any]) -> dict[str, Any]:
    """Counts of passed and failed tests, and the message of the first failure."""
    limit(job["memory_mb"], job["cpu_s"])
    try:
        code = compile(job["tests"], "tests.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"error": f"the tests can't be read: {type(error).__name__}: {error}"}
    hello = wire.receive()
    if "raised" in hello and hello["kind"] == "ModuleNotFoundError":
        return {"error": f"the program can't be run with the standard library alone: {hello['message']}"}
    if "raised" in hello:
        return {"passed": 0, "failed": 1, "detail": f"the program ends with {hello['kind']}: {hello['message']}"}
    module = types.ModuleType("solution")
    for name, one in hello["names"].items():
        if isinstance(one, dict) and "module" in one:
            if one["module"] in sys.stdlib_module_names:
                setattr(module, name, __import__(one["module"]))
        else:
            setattr(module, name, decode(one, lambda number: Handle(wire, number)))
    sys.modules["solution"] = module
    # The program's own `abs` or `math` could fake closeness to a result; tests that mean them import them by name.
    own = [
        name for name in hello["names"] if hasattr(module, name) and not stands_for_pythons(name, vars(module)[name])
    ]
    vars(module)["__all__"] = own
    space = {"__name__": "tests", **{name: vars(module)[name] for name in own}}
    seen = dict(space)
    counts: dict[str, Any] = {"passed": 0, "failed": 0, "detail": ""}

    def run(name: str, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
            counts["passed"] += 1
        except BaseException as error:
            if type(error).__name__ == "SkipTest":
                return
            if isinstance(error, Unsaid):
                counts["error"] = str(error)
            counts["failed"] += 1
            counts["detail"] = counts["detail"] or described_failure(name, error)

    try:
        exec(code, space)
        counts["passed"] = 1
    except ModuleNotFoundError as error:
        return {"error": f"the tests can't be run with the standard library alone: {error}"}
    except Unsaid as error:
        return {"error": str(error)}
    except BaseException as error:
        counts.update(failed=1, detail=described_failure("tests", error))
    if counts["failed"]:
        return counts
    found = [(name, one) for name, one in space.items() if seen.get(name) is not one]
    functions = [(name, one) for name, one in found if name.startswith("test") and isinstance(one, types.FunctionType)]
    classes = [(name, one) for name, one in found if isinstance(one, type)]
    check, entry = space.get("check"), job["entry_point"]
    if isinstance(check, types.FunctionType) and ("check", check) in found and not entry:
        return {"error": "the tests have a check(candidate), and the record names no function for it"}
    if isinstance(check, types.FunctionType) and entry:
        counts["passed"] = 0
        if entry not in space:
            return {"passed": 0, "failed": 1, "detail": f"the program has no {entry}"}
        run("check", check, space[entry])
    cases = [(name, one, case) for name, one in classes for case in dir(one) if case.startswith("test")]
    if functions or cases:
        counts["passed"] = 0  # the file itself is no test
    for name, function in functions:
        run(name, function)
    for name, one, case in cases:
        if hasattr(one, "debug"):
            run(f"{name}.{case}", one(case).debug)
        else:
            run(f"{name}.{case}", method_of_new(one, case))
    if not wire.asked and not counts["failed"]:
        return {"error": "the tests ask nothing of the program"}
    return counts


def stands_for_pythons(name: str, value: Any) -> bool:
    return hasattr(builtins, name) or (name in sys.stdlib_module_names and not isinstance(value, types.ModuleType))


def method_of_new(kind: type, name: str) -> Callable[[], Any]:
    return lambda: getattr(kind(), name)()


def described_failure(name: str, error: BaseException) -> str:
    return f"{name}: {type(error).__name__}: {error}"[:500] + line_of(error)


def line_of(error: BaseException) -> str:
    trace, line = error.__traceback__, 0
    while trace:
        if trace.tb_frame.f_code.co_filename == "tests.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (tests.py:{line})" if line else ""


def main() -> None:
    role = sys.argv[1]
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # normally from the module site
    if role == "probe":
        sys.stdout.write("ready")
    elif role == "cells":
        sys.path.append("/")
        __import__("cells").main(limit)
    elif role == "program":
        wire = Wire(os.dup(0))
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)  # the program's standard input is empty
        serve(wire, wire.receive())
    elif role == "tests":
        results = os.fdopen(os.dup(1), "w")
        job = json.loads(sys.stdin.read())
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        wire = Wire(int(sys.argv[2]))
        settings = {name: job[name] for name in ("program", "memory_mb", "cpu_s")}
        try:
            wire.send(settings)
            counts = test(wire, job)
        except (EOFError, OSError) as error:
            counts = {"passed": 0, "failed": 1, "detail": str(error)}
        results.write(json.dumps(counts | {"ended": wire.ended}))
        results.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
