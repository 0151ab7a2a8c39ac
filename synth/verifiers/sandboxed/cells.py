"""Runs inside the sandbox: cells of Python, one after the other; the output of the last one is printed.

They share a namespace, like those of a notebook; an expression at the end of the last cell is printed, and so are its
exceptions. synth/verifiers/notebook.py starts it.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

_PARSE_ONLY = 0x400  # ast.PyCF_ONLY_AST, without importing ast


def main(limit: Callable[[int, int], None]) -> None:
    job = json.loads(sys.stdin.buffer.read())
    shown = os.fdopen(os.dup(1), "w", errors="replace")
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    unseen = sys.stdout
    limit(job["memory_mb"], job["cpu_s"])
    sys.path.append("/packages")
    if any("random" in cell for cell in job["cells"]):
        import random

        random.seed(0)  # the same cells print the same in every run
    space: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(job["cells"], 1):
        sys.stdout = sys.stderr = shown if number == len(job["cells"]) else unseen
        run(cell, space)
    shown.flush()
    os._exit(0)


def run(cell: str, space: dict[str, Any]) -> None:
    try:
        tree = compile(cell, "cell.py", "exec", _PARSE_ONLY)
        last = tree.body.pop() if tree.body and type(tree.body[-1]).__name__ == "Expr" else None
        exec(compile(tree, "cell.py", "exec"), space)
        if last is not None:
            tree.body.append(last)
            value = eval(compile(_expression(last), "cell.py", "eval"), space)
            if value is not None:
                print(repr(value))
    except BaseException as error:
        print_error(error, sys.stdout)


def _expression(statement: Any) -> Any:
    import _ast

    return _ast.Expression(body=statement.value)


def print_error(error: BaseException, to: TextIO) -> None:
    """The line of the cell and the error, without the frames of functions that it called."""
    trace, line = error.__traceback__, getattr(error, "lineno", None)
    while trace:
        if trace.tb_frame.f_code.co_filename == "cell.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f"line {line}: " if line else ""
    try:
        to.write(f"{where}{type(error).__name__}: {error}\n")
    except Exception:  # its class may be the cell's own, with any __str__
        to.write(f"{where}{type(error).__name__}\n")
