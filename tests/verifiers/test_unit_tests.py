"""Unit tests on a program in the sandbox: what passes, what fails, and what nobody knows."""

import asyncio

import pytest

from synth.engines import Unusable
from synth.verifiers import sandbox
from synth.verifiers.unit_tests import UnitTests, program_of

pytestmark = pytest.mark.skipif(sandbox.problem() is not None, reason=str(sandbox.problem()))

ADD = "def add(a, b):\n    return a + b"
POINT = """
class Point:
    def __init__(self, x):
        self.x = x
    def moved(self, by):
        return Point(self.x + by)
    def __eq__(self, other):
        return self.x == other.x
    def __len__(self):
        return self.x
"""


async def verdict(program, tests, *, timeout_s=60.0, cpu_s=10, **columns):
    response = f"This will do:\n\n```python\n{program}\n```\n\nIt adds."
    verifier = UnitTests(timeout_s=timeout_s, cpu_s=cpu_s)
    return await verifier.verify({"response": response, "tests": tests, **columns})


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        (ADD, "assert add(1, 2) == 3"),
        (ADD, ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]),
        (ADD, "from solution import add as plus\nassert plus(1, 2) == 3"),
        (ADD, "import solution\nassert solution.add('a', b='b') == 'ab'"),
        (ADD, "def test_one():\n    assert add(1, 2) == 3\ndef test_two():\n    assert add([1], [2]) == [1, 2]"),
        (ADD, "class TestAdd:\n    def test_one(self):\n        assert add(1, 2) == 3"),
        (ADD, "from unittest import TestCase as T\nclass A(T):\n  def test(self):\n    self.assertEqual(add(1, 2), 3)"),
        (ADD, "import math\nassert math.isclose(add(0.1, 0.2), 0.3)\nassert add(10**40, 1) == 10**40 + 1"),
        ("def f(x):\n    raise ValueError(x)", "try:\n    f(1)\nexcept ValueError as e:\n    assert str(e) == '1'"),
        ("def f(items):\n    items.sort()", "items = [3, 1]\nassert f(items) is None\nassert items == [1, 3]"),
        ("def f(n):\n    yield from range(n)", "assert list(f(3)) == [0, 1, 2]"),
        ("def f():\n    return {(1, 2): {3}, 'a': b'b', None: 1j}", "assert f() == {(1, 2): {3}, 'a': b'b', None: 1j}"),
        ("from threading import Thread\ndef f():\n    Thread(target=print).start()\n    return 1", "assert f() == 1"),
        (POINT, "assert Point(1).moved(2) == Point(3)\nassert Point(1).moved(2).x == 3\nassert len(Point(4)) == 4"),
        ("from fractions import Fraction\ndef f():\n    return Fraction(1, 2)", "assert f() == 0.5 and 1 - f() == f()"),
        ("import decimal\ndef f():\n    return decimal.Decimal('0.1')", "assert str(f() + f()) == '0.2'"),
        ("import datetime as d\ndef f():\n    return d.date(2024, 2, 28) + d.timedelta(1)", "assert f().day == 29"),
        ("import collections\nP = collections.namedtuple('P', 'x y')\ndef f():\n  return P(1, 2)", "assert f().y == 2"),
        ("from collections import Counter\ndef f():\n    return Counter('aab')", "assert f() == {'a': 2, 'b': 1}"),
        ("LIMIT = 3\n" + ADD, "assert add(LIMIT, 1) == 4"),
    ],
)  # fmt: skip
async def test_a_right_program_passes(program, tests):
    assert await verdict(program, tests) == ("passed", 1.0, "")


async def test_a_function_check_is_called_with_the_entry_point():
    tests = "def check(candidate):\n    assert candidate(1, 2) == 3"
    assert (await verdict(ADD, tests, entry_point="add")).verdict == "passed"
    assert (await verdict(ADD, tests, entry_point="plus")).verdict == "failed"
    assert (await verdict(ADD, tests)).verdict == "error"


@pytest.mark.parametrize(
    ("program", "tests", "detail"),
    [
        ("def add(a, b):\n    return a - b", "\nassert add(1, 2) == 3, 'no'", "tests: AssertionError: no (tests.py:2)"),
        ("def add(a, b)\n    return a + b", "assert add(1, 2) == 3", "the program ends with SyntaxError"),
        ("1 / 0", "assert add(1, 2) == 3", "the program ends with ZeroDivisionError"),
        ("def plus(a, b):\n    return a + b", "assert add(1, 2) == 3", "NameError"),
        ("def add(a, b):\n    return None", "assert add(1, 2) == 3", "AssertionError"),
        ("def add(a, b):\n    return object()", "assert add(1, 2) == 3", "AssertionError"),
    ],
)  # fmt: skip
async def test_a_wrong_program_fails_and_the_detail_says_where(program, tests, detail):
    said = await verdict(program, tests)
    assert (said.verdict, said.score) == ("failed", 0.0)
    assert detail in said.detail


async def test_the_score_is_the_share_of_tests_that_pass():
    tests = "def test_a():\n    assert add(1, 2) == 3\ndef test_b():\n    assert add(1, 2) == 4"
    assert (await verdict(ADD, tests))[:2] == ("failed", 0.5)


@pytest.mark.parametrize(
    "tests",
    [
        None,
        "",
        "assert add(1, 2) ==",
        "x = 1",
        "assert True",
        "def helper():\n    assert add(1, 2) == 3",
        "import os\nos._exit(0)",
        'import os\nos.write(1, b\'{"passed": 1, "failed": 0}\')\nos._exit(0)',
    ],
)
async def test_tests_that_can_not_tell_are_an_error(tests):
    assert (await verdict(ADD, tests))[:2] == ("error", 0.0)


async def test_tests_that_give_the_program_a_function_can_not_tell():
    program = "def apply(f, x):\n    return f(x)"
    for tests in ("assert apply(abs, -1) == 1", "def test_a():\n    assert apply(lambda x: 2 * x, 1) == 2"):
        said = await verdict(program, tests)
        assert said.verdict == "error"
        assert "which is no plain data" in said.detail


async def test_what_is_not_in_the_standard_library_is_an_error():
    assert "No module named 'numpy'" in (await verdict(f"import numpy\n{ADD}", "assert add(1, 2) == 3")).detail
    assert (await verdict(f"import numpy\n{ADD}", "assert add(1, 2) == 3")).verdict == "error"
    assert (await verdict(ADD, "import pytest\nassert add(1, 2) == 3")).verdict == "error"


SLOW = "took more than cpu_s=1 of processor time"


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("while True:\n    pass", "assert add(1, 2) == 3"),
        ("def add(a, b):\n    while True:\n        pass", "assert add(1, 2) == 3"),
        ("def add(a, b):\n    while True:\n        pass", "try:\n    add(1, 2)\nexcept Exception:\n    pass"),
    ],
)
async def test_a_program_that_takes_more_than_its_processor_time_has_failed(program, tests):
    said = await verdict(program, tests, cpu_s=1)
    assert (said.verdict, said.detail) == ("failed", f"the program {SLOW}")


async def test_tests_that_take_more_than_their_processor_time_are_an_error():
    said = await verdict(ADD, "assert add(1, 2) == 3\nwhile True:\n    pass", cpu_s=1)
    assert (said.verdict, said.detail) == ("error", f"the tests {SLOW}")


async def test_a_program_that_does_nothing_without_end_is_a_time_out():
    said = await verdict("import time\ntime.sleep(1000)", "assert add(1, 2) == 3", timeout_s=1, cpu_s=1)
    assert (said.verdict, said.detail) == ("timeout", "it was not over after timeout_s=1")


async def test_other_work_on_the_machine_takes_nothing_of_a_programs_time():
    """Six programs of half a second each, on fewer processors than that: all of them have their second."""
    program = "import time\ndef spend():\n    while time.process_time() < 0.5:\n        pass\n    return 1"
    verifier = UnitTests(cpu_s=1, at_once=6)
    record = {"response": f"```python\n{program}\n```", "tests": "assert spend() == 1"}
    said = await asyncio.gather(*(verifier.verify(record) for _ in range(6)))
    assert [one.verdict for one in said] == ["passed"] * 6


async def test_a_program_that_ends_while_it_is_tested_has_failed_whatever_the_tests_make_of_it():
    said = await verdict("import os\ndef f():\n    os._exit(0)", "try:\n    f()\nexcept Exception:\n    pass")
    assert (said.verdict, said.detail) == ("failed", "the program ended while it was tested")


async def test_a_program_that_asks_for_input_has_none():
    said = await verdict("n = int(input())", "assert n == 1")
    assert said.verdict == "failed" and "EOFError" in said.detail


async def test_many_programs_are_checked_while_the_event_loop_goes_on():
    verifier = UnitTests(at_once=2)
    record = {"response": f"```python\n{ADD}\n```", "tests": "assert add(1, 2) == 3"}
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    said = await asyncio.gather(*(verifier.verify(record) for _ in range(10)))
    beating.cancel()
    assert {one.verdict for one in said} == {"passed"}
    assert beats > 10


async def test_a_machine_without_the_sandbox_is_no_programs_fault(monkeypatch):
    monkeypatch.setattr(sandbox, "problem", lambda: "needs bubblewrap")
    assert UnitTests().missing() == "_target_: needs bubblewrap"
    with pytest.raises(Unusable, match="needs bubblewrap"):
        await verdict(ADD, "assert add(1, 2) == 3")


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\na = 1\n```\nand\n```py\nb = 2\n```\n```\noutput\n```", "a = 1\n\nb = 2\n"),
        ("```\na = 1\n```", "a = 1\n"),
        ("```bash\nls\n```", None),
        ("a = 1", "a = 1"),
        ("```python\na = 1", None),
        ("", None),
    ],
)
def test_a_program_is_what_stands_in_the_blocks_of_python(text, program):
    assert program_of(text) == program
