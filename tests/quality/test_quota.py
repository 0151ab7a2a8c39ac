"""The claims of rows on their strata: what is taken is what one pass in order takes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.quality.duplicates import DedupKeys
from synth.quality.quota import Quotas, Skipping
from synth.records import DedupKey
from synth.strata import SKIP, STRATA, Remaining, Strata, as_key

ONE = Strata({"a": {"x": 3, "(others)": 2}})
TWO = Strata({"a": {"x": 3, "(others)": 4}, "b": {"y": 2, "(others)": 5}})


def dedup_keys_of(strata, final=True):
    quotas = Quotas(strata, final)
    return DedupKeys({SKIP: Skipping(quotas), STRATA: quotas})


def claim(number, *labels, step=STRATA):
    return DedupKey(step, (number,), as_key(labels))


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from(["x", "(others)"]), st.sampled_from(["y", "(others)"])), max_size=40),
    sizes=st.lists(st.integers(1, 9), min_size=40, max_size=40),
    seed=st.integers(0, 1000),
    strata=st.sampled_from([ONE, TWO]),
)
@pytest.mark.asyncio
async def test_what_is_settled_is_what_one_pass_takes_whatever_came_before(rows, sizes, seed, strata):
    rows = [row[: len(strata.rows)] for row in rows]
    claims, remaining = dedup_keys_of(strata), Remaining(strata)
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    taken = [remaining.take(row) for row in rows]
    for number in order:  # nothing that one pass takes is ended early
        assert await claims.claim(claim(number, *rows[number])) is None or not taken[number]
    start = 0
    for size in sizes:
        numbers = range(start, min(start + size, len(rows)))
        lost = {one.place[0] for one in await claims.finalize(numbers, [claim(n, *rows[n]) for n in numbers])}
        assert lost == {number for number in numbers if not taken[number]}
        start = numbers.stop


async def test_a_record_is_skipped_when_its_stratum_is_full_in_what_is_settled():
    claims = dedup_keys_of(TWO)
    assert await claims.claim(claim(9, "x", None, step=SKIP)) is None
    await claims.finalize(range(3), [claim(number, "x", "(others)") for number in range(3)])
    assert await claims.claim(claim(9, "x", None, step=SKIP)) is not None
    assert await claims.claim(claim(9, "(others)", None, step=SKIP)) is None


@pytest.mark.parametrize("final", [True, False])
async def test_rows_that_stay_count_before_they_are_settled(final):
    claims = dedup_keys_of(ONE, final)
    for number in (0, 2, 5):
        await claims.claim(claim(number, "x"))
    assert (await claims.claim(claim(7, "x", step=SKIP)) is not None) == final
    assert await claims.claim(claim(4, "x", step=SKIP)) is None  # of those below it only two are there


async def test_a_run_that_goes_on_knows_what_was_taken():
    claims = dedup_keys_of(ONE)
    rows = [claim(number, "x") for number in range(5)]
    lost = await claims.finalize(range(5), rows)
    again = dedup_keys_of(ONE)
    await again.restore(range(5), rows, lost)
    assert [one.place for one in lost] == [(3,), (4,)]
    assert await again.claim(claim(9, "x", step=SKIP)) is not None
