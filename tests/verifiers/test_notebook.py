"""Cells in the sandbox: what they print, and how those end that never would."""

import asyncio

import pytest

from synth.engines import Unusable
from synth.verifiers import sandbox
from synth.verifiers.notebook import Notebook, Output

pytestmark = pytest.mark.skipif(sandbox.problem() is not None, reason=str(sandbox.problem()))


async def printed(*cells, most_bytes=1000, packages=(), **limits):
    bounds = {"cpu_s": 5, "timeout_s": 30, "memory_mb": 256, "at_once": 2} | limits
    return await Notebook(**bounds, packages=packages).run(cells, most_bytes)


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["print('a')\n1 + 1"], "a\n2\n"),
        (["x = 3\nprint('not seen')", "x * 2"], "6\n"),
        (["1 / 0", "2"], "2\n"),
        (["None"], ""),
        (["def f(n):\n    return 1 / n\nf(0)"], "line 2: ZeroDivisionError: division by zero\n"),
        (["def f(:"], "line 1: SyntaxError: invalid syntax (cell.py, line 1)\n"),
        (["input()"], "line 1: EOFError: EOF when reading a line\n"),
        (["exit()"], "line 1: SystemExit: \n"),
        (["class E(Exception):\n    def __str__(self):\n        1 / 0\nraise E()"], "line 4: E\n"),
        (["a = 'a' * 10**10"], "line 1: MemoryError: \n"),
    ],
)
async def test_what_the_last_cell_prints_and_raises_is_told(cells, text):
    assert await printed(*cells) == Output(text, "done")


async def test_random_numbers_and_the_order_of_a_set_are_the_same_each_time():
    cell = "import random\nprint(random.random(), random.choices('abc', k=9), set('hello world'))"
    assert await printed(cell) == await printed(cell)


async def test_output_without_end_is_cut_and_time_without_end_tells_nothing():
    assert await printed("while True:\n    print('a' * 99)", most_bytes=250) == Output(
        (("a" * 99 + "\n") * 3)[:250], "done"
    )
    assert await printed("print('a')\nwhile True:\n    pass", cpu_s=1) == Output("", "over_time")
    assert await printed("import time\nprint('a')\ntime.sleep(1000)", timeout_s=1) == Output("", "timeout")


async def test_packages_are_there_where_they_are_named():
    cell = "import sympy\nx = sympy.symbols('x')\nsympy.integrate(x**2, x)"
    assert "No module named 'sympy'" in (await printed(cell)).text
    assert await printed(cell, packages=["sympy", "mpmath"]) == Output("x**3/3\n", "done")


@pytest.mark.parametrize(
    "body",
    ["import os\nos.fork()", "open('/packages/sympy/__init__.py', 'a')", "import socket\nsocket.socket()",
     "open('/etc/passwd')", "open('/cells.py', 'w')", "import os\nos.kill(1, 9)"],
)  # fmt: skip
async def test_cells_are_in_the_same_sandbox_as_programs_that_are_tested(body):
    assert "Error" in (await printed(body, packages=["sympy"])).text


async def test_a_machine_without_a_sandbox_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(sandbox, "problem", lambda: "needs bubblewrap")
    with pytest.raises(Unusable, match="needs bubblewrap"):
        await printed("1")


async def test_cells_that_print_more_than_is_read_are_ended_too():
    for _ in range(10):
        said = await asyncio.wait_for(printed("while True:\n    print('a' * 999)", most_bytes=9), timeout=60)
        assert said == Output("a" * 9, "done")
