"""The tests' side: runs the tests of a problem on the handles of a program, and counts which of them pass.

Tests are asserts, functions `test_…`, unittest classes, or a function `check(candidate)`. They have the program's names
and a module `solution` with them. Tests that ask nothing of the program are an error.
"""

from __future__ import annotations

import builtins
import sys
import types

from synth.verifiers.sandboxed.objects import Handle, Unsaid
from synth.verifiers.sandboxed.wire import Wire, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def test(wire: Wire, job: dict[str, Any]) -> dict[str, Any]:
    """Counts of passed and failed tests, and the message of the first failure."""
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
