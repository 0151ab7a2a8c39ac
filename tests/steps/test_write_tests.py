"""Unit tests that a model writes with a solution: which are kept, and what becomes of the task."""

import pytest

from synth.configuration.column_types import type_from_text
from synth.steps.write_tests import WriteTests
from synth.verifiers import sandbox
from tests.steps.fakes import FakeEngine, finish

pytestmark = pytest.mark.skipif(sandbox.problem() is not None, reason=str(sandbox.problem()))

ADD = "```python\ndef add(a, b):\n    return a + b\n```"
GOOD = f"{ADD}\nTests:\n```python\nassert add(1, 2) == 3\nassert add(0, 0) == 0\nassert add(-1, 5) == 4\n```"
WRONG = f"{ADD}\nTests:\n```python\nassert add(1, 2) == 4\n```"
WEAK = f"{ADD}\nTests:\n```python\nassert add(1, 2) == 3\n```"
TASK = "Write a function that adds two numbers."


async def written(*answers, task=TASK, **keys):
    turn = iter(answers)
    engine = FakeEngine(lambda prompt: next(turn), max_model_len=10_000)
    step = WriteTests(**{"attempts": len(answers)} | keys)
    columns = {name: type_from_text(kind) for name, kind in step.columns.items()}
    finished = await finish(step, engine=engine, record={"instruction": task}, columns=columns)
    (row,) = finished.kept + finished.rejected
    return row, engine


async def test_the_tests_are_a_column_and_the_task_names_what_they_call():
    row, _ = await written(GOOD)
    assert row["tests"] == "assert add(1, 2) == 3\nassert add(0, 0) == 0\nassert add(-1, 5) == 4"
    assert row["solution"] == "def add(a, b):\n    return a + b"
    assert row["mutation_score"] == 1.0
    assert row["instruction"] == f"{TASK}\n\nUse this signature:\n\n```python\ndef add(a, b):\n```"


async def test_a_task_that_has_the_signature_is_left_as_it_is():
    task = "Complete this: def add(a, b)"
    assert (await written(GOOD, task=task))[0]["instruction"] == task


async def test_tests_that_are_wrong_or_weak_are_written_again():
    row, engine = await written("No.", WRONG, WEAK, GOOD, "not asked for")
    assert row["tests"].count("assert") == 3 and len(engine.prompts) == 4
    assert len({sampling.seed for sampling in engine.samplings}) == 4


@pytest.mark.parametrize(
    ("answers", "reason", "detail"),
    [
        (["No.", ADD], "unparsable_tests", ""),
        ([WRONG], "untested", "AssertionError"),
        ([WEAK], "untested", "the tests pass where every function returns 3"),
    ],
)
async def test_a_task_without_good_tests_is_rejected_with_the_reason(answers, reason, detail):
    row, _ = await written(*answers)
    assert row["reason"] == reason and detail in (row["detail"] or "")
