"""How long a run still takes, from how long its records turn out to be."""

import random

import pytest

from synth.report.time_left import FIXED, Left, StepTime, lengths, seconds_left
from synth.report.work import BINS, Work


def work(ended=(), running=(), kept=1):
    made = Work()
    for tokens in ended:
        made.end(tokens, kept)
    made.count_running(running)
    return made


def test_records_that_run_on_count_as_long_as_they_are_so_far():
    rng = random.Random(0)
    whole = [rng.randint(10, 1000) for _ in range(5000)]
    seen = [(length, rng.randint(10, 1000)) for length in whole]  # each is looked at after so many tokens
    known = lengths(work([a for a, b in seen if a <= b], [b for a, b in seen if a > b]), longest=1000)
    assert known.mean == pytest.approx(sum(whole) / len(whole), rel=0.05)
    assert sum(a for a, b in seen if a <= b) / sum(a <= b for a, b in seen) < 350  # the mean of those that ended


def test_rows_kept_of_long_records_are_expected_of_those_that_run():
    """Short ones are rejected: at first, all that end are."""
    seen = work([20] * 50, [25] * 50, kept=0) + work([200] * 5)
    assert lengths(seen).kept > 5 / 55


def test_running_records_that_have_outlived_the_rejected_ones_are_expected_to_be_kept():
    """Nine in ten are rejected at once; ten that have come further give the ten missing rows, so no other begins."""
    seen = work([20] * 90, kept=0) + work([200] * 10, [100] * 10)
    alone = seconds_left(seen, Left(10, 10, float("inf")), rate=100, at_once=10, speed=10)
    assert alone == pytest.approx(10 * 100 / 100, rel=0.2)


@pytest.mark.parametrize("fixed", [0.05, 0.3, 0.9])
def test_how_much_faster_a_smaller_batch_is_is_measured(fixed):
    rng, steps = random.Random(0), StepTime()
    for requests in [64] * 50 + [16, 32, 48] * 3:
        steps.add(requests, 0.1 * (fixed + (1 - fixed) * requests / 64) * rng.uniform(0.9, 1.1))
    assert steps.fixed(64) == pytest.approx(fixed, abs=0.12)


def test_a_batch_that_is_always_full_leaves_open_how_fast_a_smaller_one_is():
    steps = StepTime()
    for _ in range(50):
        steps.add(64, 0.1)
    assert steps.fixed(64) == pytest.approx(FIXED, rel=0.1)
    assert StepTime().fixed(64) == FIXED


def test_full_engines_take_as_long_as_their_tokens():
    many = work([100] * 1000, [50] * 10)
    assert seconds_left(many, Left(10_000, 10, float("inf")), rate=1000, at_once=10, speed=100) == pytest.approx(
        1000, rel=0.02
    )


def test_the_last_record_takes_as_long_as_it_alone():
    one = work([100] * 50 + [1000] * 50, [110])
    left = seconds_left(one, Left(1, 1, 0), rate=50, at_once=1, speed=50)
    assert left == pytest.approx((1000 - 110) / 50, rel=0.15)


def test_a_source_that_has_no_more_bounds_what_is_left():
    known = work([100] * 100, kept=0)
    assert seconds_left(known, Left(None, 10, 0), 1000, 10, 100) == pytest.approx(1, rel=0.4)


@pytest.mark.parametrize("unknown", [work(), work([10, 10]), work([0, 0, 0, 0]), work([100] * 9, kept=0)])
def test_nothing_is_said_where_nothing_is_known(unknown):
    assert seconds_left(unknown, Left(10, 10, 10), 1000, 10, 100) is None


def test_all_that_may_come_is_a_number():
    rng = random.Random(1)
    for _ in range(300):
        lists = [[float(rng.choice([0, 0, 1, 7])) for _ in range(BINS)] for _ in range(4)]
        any_ = Work(lists[0], [a * 9 for a in lists[0]], lists[2], lists[3])
        left = Left(rng.choice([None, 0, 50]), rng.choice([0, 9]), rng.choice([0, 1e9, float("inf")]))
        if left.missing is None and left.more == float("inf"):
            continue
        found = seconds_left(any_, left, rng.choice([0, 1, 1e6]), rng.choice([0, 1, 99]), rng.choice([0, 1, 50]))
        assert found is None or 0 <= found < float("inf")
