"""A step whose mistake ends nearly every record ends the run, and what is rejected on purpose does not."""

import pytest

from synth.engines.simulated import Simulated
from synth.records import Finished, Rejection
from synth.schedule.first_records import FIRST, FirstRecords, FirstRows, StepsFail
from synth.storage.journal import finished_numbers
from synth.storage.shard import ShardSummary
from tests.schedule.configs import FAST
from tests.schedule.local import LocalRun

MAGPIE = {"_target_": "synth.steps.magpie.Magpie"}


class Engine(Simulated):
    """A simulated engine, with the attributes that LocalRun sets."""


def mistaken(record, llm):
    return record["no_such_column"]


def rejecting(record, llm):
    raise Rejection("dull", "as nearly all are")


def fragile(record, llm, every=2):
    if llm.rng.random() < 1 / every:
        raise ValueError("of some records")
    return record


def run_of(tmp_path, step, **keys):
    steps = [MAGPIE, {"_target_": f"tests.schedule.test_first_records.{step}", **keys}]
    return LocalRun(tmp_path, steps, lambda: Engine(**FAST), wanted=400, in_flight=16)


async def test_a_mistake_in_a_step_ends_the_run_with_the_commonest_error_and_what_is_finished_is_safe(tmp_path):
    run = run_of(tmp_path, "mistaken")
    expected = (
        r"48 of the first 50 records are errors, most of them mistaken: KeyError: 'no_such_column' \(test_first_rec"
    )
    with pytest.raises(StepsFail, match=expected):
        await run.go()
    assert run.spawned == [1]
    journals = [finished_numbers(run.folder.journal(shard.index)) for shard in run.plan.shards]
    committed = sum(summary.rejected for summary in run.summaries)
    assert 48 <= committed + sum(map(len, journals)) < 100


@pytest.mark.parametrize(("step", "keys"), [("fragile", {"every": 1.2}), ("rejecting", {})])
async def test_what_is_rejected_on_purpose_or_often_only_is_no_mistake(tmp_path, step, keys):
    run = run_of(tmp_path, step, **keys)
    await run.go()
    assert sum(summary.kept + summary.rejected for summary in run.summaries) >= 200


def ends(number, kept=0, reasons=()):
    rows = [{"reason": reason, "rejected_by": "step", "detail": "why"} for reason in reasons]
    return Finished(number, kept=[{}] * kept, rejected=rows)


def test_records_that_fail_at_once_are_not_taken_for_all():
    first = FirstRecords()
    for number in range(1000):
        first.began(number)
    for number in range(FIRST // 10, 1000):  # the others take longer
        if number % 10 == 0:
            first.finished(ends(number, reasons=["error"]))


def test_a_record_with_a_row_that_is_kept_or_rejected_on_purpose_is_no_error():
    first = FirstRecords()
    for number in range(FIRST):
        first.began(number)
        first.finished(ends(number, kept=number % 2, reasons=["error"] if number % 2 else ["error", "too_short"]))


def test_committed_shards_are_judged_once_when_there_are_enough_rows():
    def shard(index, kept, errors):
        return ShardSummary(
            index=index, start=0, stop=1, kept=kept, rejected=errors, reasons={"step: error": errors} if errors else {}
        )

    first = FirstRows()
    assert not first.committed(shard(0, 0, 40))
    assert first.committed(shard(1, 0, 40))
    other = FirstRows()
    assert not other.committed(shard(0, 10, 90))
    assert not other.committed(shard(1, 0, 10_000))
