"""Tests that tell a solution from wrong programs pass; tests that don't, fail. As models write them."""

import pytest

from synth.verifiers import sandbox
from synth.verifiers.mutation import MutationTests

pytestmark = pytest.mark.skipif(sandbox.problem() is not None, reason=str(sandbox.problem()))

CLAMP = (
    "def clamp(x, low, high):\n    if x < low:\n        return low\n    if x > high:\n        return high\n    return x"
)
GOOD = "assert clamp(5, 0, 3) == 3\nassert clamp(-1, 0, 3) == 0\nassert clamp(2, 0, 3) == 2"


async def verdict(program, tests, **keys):
    verifier = MutationTests(**keys)
    return await verifier.verify({"response": f"```python\n{program}\n```", "tests": tests})


async def test_tests_that_tell_wrong_programs_pass_with_the_share_that_they_kill():
    said = await verdict(CLAMP, GOOD, mutants=10)
    assert said.verdict == "passed" and 0.5 <= said.score <= 1
    assert said == await verdict(CLAMP, GOOD, mutants=10)


@pytest.mark.parametrize(
    ("tests", "detail"),
    [
        ("assert clamp(5, 0, 3) == 3", "the tests pass where every function returns 3"),
        ("clamp(5, 0, 3)", "the tests pass where every function returns None"),
        ("assert clamp(5, 0, 3) or True", "the tests pass where every function returns None"),
        ("assert clamp(5, 0, 3)\nassert clamp(1, 0, 3)", "the tests pass where every function returns True"),
        ("try:\n    assert clamp(5, 0, 3) == 9\nexcept Exception:\n    pass", "every function returns None"),
        (
            "import sys\nf = sys._getframe()\nwhile f:\n    if 'counts' in f.f_locals:\n"
            "        f.f_locals['wire'].asked = True\n    f = f.f_back\nassert True",
            "the tests pass where every function returns None",
        ),
    ],
)
async def test_tests_that_a_naive_program_passes_fail(tests, detail):
    said = await verdict(CLAMP, tests)
    assert said.verdict == "failed" and detail in said.detail


@pytest.mark.parametrize(
    "rewrites",
    [
        "open('/synth/verifiers/sandboxed/tests.py', 'w').write('')",
        "import sys\nsys._getframe(1).f_globals['test'] = lambda *a: {'passed': 1}",
    ],
)
async def test_tests_that_rewrite_the_checker_do_not_make_a_wrong_program_pass(rewrites):
    said = await verdict("def clamp(x, low, high):\n    return 7", f"{rewrites}\n{GOOD}")
    assert said.verdict == "failed"


async def test_tests_that_know_one_case_alone_kill_too_few_mutants():
    program = "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a"
    said = await verdict(program, "assert fib(0) == 0\nassert fib(1) == 1", mutants=20, min_killed=1.0)
    assert said.verdict == "failed" and "mutants the tests kill" in said.detail


async def test_a_program_that_its_own_tests_fail_is_no_matter_of_mutants():
    said = await verdict("def clamp(x, low, high):\n    return x", GOOD)
    assert said.verdict == "failed" and "AssertionError" in said.detail
    assert (await verdict("x = 1", "assert x == 1\nimport solution\nsolution.x")).verdict in ("failed", "error")


ANSWER = """Here it is.

```python
# adds
def add(a, b):
    return a + b

if __name__ == "__main__":
    print(add(1, 2))
```

And the tests:

```python
from my_solution import add
import math

def test_add():
    assert math.isclose(add(0.1, 0.2), 0.3)

assert add(1, 2) == 3
print("all tests pass")
```
"""


async def test_an_answer_is_parted_into_a_program_its_tests_and_the_signatures_that_these_call():
    parts = await MutationTests().parts_of(ANSWER)
    assert parts.program.startswith("# adds\ndef add(a, b):\n    return a + b")
    assert "print" not in parts.program + parts.tests and "my_solution" not in parts.program + parts.tests
    assert parts.tests == (
        "import math\ndef test_add():\n    assert math.isclose(add(0.1, 0.2), 0.3)\nassert add(1, 2) == 3"
    )
    assert parts.signatures == ["def add(a, b):"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No code.",
        "```python\ndef f(:\n```",
        "```python\ndef f():\n    return 1\n```",
        "```python\nassert f() == 1\n```",
        "```python\ndef g():\n    return 1\nassert f() == 1\n```",
        "```python\n" + "(" * 10_000 + "\n```",
        "```python\n" + "-" * 100_000 + "1\n```",
        "```python\nx = " + ".".join("a" * 50_000) + "\n```",
    ],
)
async def test_an_answer_without_both_or_one_that_no_parser_bears_has_no_parts(text):
    assert await MutationTests().parts_of(text) is None
