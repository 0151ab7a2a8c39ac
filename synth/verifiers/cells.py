"""What runs inside the sandbox: cells of Python, one after the other, of which the last one's output is shown.

They share their names, as those of a notebook do; an expression at the end of the last one is printed, and so is what
it raises. Standard library alone. synth/verifiers/notebook.py starts it.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in sandboxed.py: typing takes longer to import than most cells take
    from collections.abc import Callable
    from typing import Any, TextIO

_PARSE_ONLY = 0x400  # ast.PyCF_ONLY_AST, without an import of ast


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

        random.seed(0)  # the same cells say the same in every run
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
        said(error, sys.stdout)


def _expression(statement: Any) -> Any:
    import _ast

    return _ast.Expression(body=statement.value)


def said(error: BaseException, to: TextIO) -> None:
    """The line of the cell and the error, without the frames of whatever it called."""
    trace, line = error.__traceback__, getattr(error, "lineno", None)
    while trace:
        if trace.tb_frame.f_code.co_filename == "cell.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f"line {line}: " if line else ""
    try:
        to.write(f"{where}{type(error).__name__}: {error}\n")
    except Exception:  # it may be of the cell's own kind, and have any __str__
        to.write(f"{where}{type(error).__name__}\n")
