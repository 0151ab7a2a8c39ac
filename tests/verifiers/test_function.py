"""A check of one's own, beside the records or in a process of its own."""

import os

import pytest

from synth.components.instantiate import build
from synth.errors import ConfigError
from synth.verifiers import Verifier
from synth.verifiers.function import Function
from tests.verifiers import checks

RECORD = {"response": "A word.", "list": []}


async def verdict(function, *, own_process=False, **keys):
    verifier = Function(function=function, own_process=own_process, **keys)
    try:
        return await verifier.verify(RECORD)
    finally:
        if own_process:
            await verifier.close()


@pytest.mark.parametrize("own_process", [False, True])
@pytest.mark.parametrize(
    ("name", "said", "score"),
    [
        ("is_short", "passed", 1.0),
        ("is_short_later", "passed", 1.0),
        ("half", "failed", 0.5),
        ("numpys", "passed", 1.0),
        ("nothing", "error", 0.0),
        ("not_a_number", "error", 0.0),
        ("raises", "error", 0.0),
        ("stops", "error", 0.0),
        ("leaves", "error", 0.0),
        ("leaves_later", "error", 0.0),
        ("times_out_itself", "error", 0.0),
        ("prints", "failed", 0.0),
    ],
)
async def test_what_a_function_does_is_one_of_four_verdicts(name, said, score, own_process):
    assert (await verdict(getattr(checks, name), own_process=own_process))[:2] == (said, score)


@pytest.mark.parametrize(("name", "own_process"), [("hangs", True), ("hangs_later", True), ("hangs_later", False)])
async def test_one_that_takes_too_long_is_a_time_out(name, own_process):
    said = await verdict(getattr(checks, name), own_process=own_process, timeout_s=0.5)
    assert said == ("timeout", 0.0, "it took more than timeout_s=0.5")


async def test_one_that_ends_its_process_is_an_error():
    assert await verdict(checks.crashes, own_process=True) == ("error", 0.0, "its process ended with exit status 0")


async def test_an_exception_is_told():
    assert (await verdict(checks.raises)).detail == "KeyError: 'answer'"


async def test_a_number_passes_from_a_bound_on():
    assert await verdict(checks.half, passes_from=0.5) == ("passed", 0.5, "0.5")


@pytest.mark.parametrize("own_process", [False, True])
async def test_a_function_that_changes_its_record_changes_a_copy(own_process):
    await verdict(checks.changes, own_process=own_process)
    assert RECORD["list"] == []


async def test_one_process_serves_many_records_and_is_not_ours():
    verifier = Function(function=checks.process, own_process=True, passes_from=0)
    scores = {(await verifier.verify(RECORD)).score for _ in range(5)}
    await verifier.close()
    assert len(scores) == 1
    assert scores != {float(os.getpid())}


async def test_a_function_has_parameters():
    node = {"_target_": "synth.verifiers.function.Function", "columns": "topic"}
    check = {"_target_": "tests.verifiers.checks.is_short", "most": 3}
    verifier = build(node | {"function": check}, "step.verifier", Verifier)
    assert (await verifier.verify(RECORD)).verdict == "failed"
    assert verifier.needs() == [("topic",)]


def test_a_class_that_can_not_be_called_is_refused():
    node = {"_target_": "synth.verifiers.function.Function", "function": {"_target_": "tests.verifiers.checks.NoCheck"}}
    with pytest.raises(ConfigError, match=r"NoCheck' is not a valid check: it can't be called with \(record\)"):
        build(node, "step.verifier", Verifier)
