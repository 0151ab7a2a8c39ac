"""What is needed of a plan whose records finish one by one: rejected ones are replaced at once, and what can't matter
any more is not made."""

import math
import random

import pytest

from synth.schedule.ends import End
from synth.schedule.needed import Chances, Needed
from synth.schedule.plan import Plan


def plan_of(num_records, *, shard_size=10, replicas=1, min_yield=0.05, **more):
    return Plan(num_records, shard_size=shard_size, replicas=replicas, min_yield=min_yield, **more)


def lease_all(plan):
    shards = []
    while shard := plan.lease():
        shards.append(shard)
    return shards


def finish(plan, kept, *numbers, tokens=0):
    """Records of leased shards, each with so many kept rows and tokens."""
    of = {number: shard.index for shard in plan.shards for number in range(shard.start, shard.stop)}
    plan.observe([End(of[number], number, kept, tokens) for number in numbers])


def test_a_record_that_is_rejected_is_replaced_before_its_shard_is_committed():
    plan = plan_of(64, shard_size=64)
    leased = lease_all(plan)
    assert sum(map(len, leased)) == 64
    finish(plan, 0, *range(45))
    assert sum(map(len, lease_all(plan))) > 45


def test_rejections_that_come_first_are_not_taken_for_the_yield():
    plan = plan_of(64, shard_size=16)
    lease_all(plan)
    finish(plan, 0, *range(32))  # half of what was begun: the others may all be kept
    assert sum(map(len, plan.shards)) <= 3 * 64
    finish(plan, 0, *range(32, 64))
    lease_all(plan)
    assert sum(map(len, plan.shards)) > 10 * 64  # none was: the yield is low


def test_of_unfinished_records_more_are_kept_if_rejected_ones_are_short():
    equal, unequal = plan_of(200, shard_size=50), plan_of(200, shard_size=50)
    for plan, tokens in ((equal, 100), (unequal, 1000)):
        lease_all(plan)
        finish(plan, 0, *range(0, 100, 2), tokens=100)
        finish(plan, 1, *range(1, 100, 2), tokens=tokens)
        lease_all(plan)
    assert len(unequal.shards) < len(equal.shards)


def test_records_that_are_kept_make_the_plan_no_longer():
    plan = plan_of(64, shard_size=64)
    lease_all(plan)
    finish(plan, 1, *range(60))
    assert plan.lease() is None


def test_all_that_is_leased_is_needed_while_it_is_not_expected_to_be_enough():
    plan = plan_of(40)
    plan.lease()
    assert plan.needed() == Needed()


def test_records_above_the_last_wanted_row_are_given_up_whatever_gaps_are_below():
    plan = plan_of(40)
    lease_all(plan)
    for _ in range(3):
        finish(plan, 0, *range(8))  # so that the plan grows
        lease_all(plan)
    finish(plan, 1, *range(12, 52))
    assert plan.needed().cut == 52
    finish(plan, 1, 8, 9)  # a gap is filled, and two rows above it fall out
    assert plan.needed().cut == 50
    finish(plan, 0, 10)
    assert plan.needed().cut == 50


def test_a_record_that_is_told_of_twice_counts_once():
    plan = plan_of(3, shard_size=10)
    lease_all(plan)
    finish(plan, 1, 0, 1)
    finish(plan, 1, 0, 1)
    assert plan.needed().cut == math.inf


def test_a_record_whose_rows_turn_out_to_be_unfit_is_counted_anew():
    plan = plan_of(2, shard_size=10)
    lease_all(plan)
    finish(plan, 1, 0, 1)
    finish(plan, 0, 1)
    assert plan.needed().cut == math.inf


def test_what_a_lost_worker_had_finished_counts_again_when_its_shard_is_told_of_anew():
    plan = plan_of(4, shard_size=4)
    [shard, *_] = lease_all(plan)
    finish(plan, 1, *range(shard.start, shard.stop))
    before = plan.needed()
    plan.release(shard)
    assert plan.needed().cut == math.inf
    assert plan.lease() == shard
    finish(plan, 1, *range(shard.start, shard.stop))
    assert plan.needed() == before


def test_records_are_not_begun_while_those_below_are_expected_to_be_enough():
    plan = plan_of(30, shard_size=100, known=[])
    first = plan.lease()
    finish(plan, 0, *range(first.start, first.stop))
    lease_all(plan)
    finish(plan, 1, *range(first.stop, first.stop + 25))
    needed = plan.needed()
    assert needed.cut == math.inf
    assert needed.launch < plan.shards[-1].stop


def test_all_rows_of_a_source_are_needed():
    plan = plan_of(None, source_size=20)
    lease_all(plan)
    finish(plan, 1, *range(20))
    assert plan.needed() == Needed()


def test_what_is_made_again_is_needed_though_there_is_enough():
    plan = plan_of(10, shard_size=10, again=[])
    lease_all(plan)
    finish(plan, 1, *range(10))
    assert plan.needed().cut == 10
    [shard, *_] = plan.shards
    again = plan_of(3, known=[shard], again=[shard.index])
    again.lease()
    finish(again, 1, *range(3))
    assert again.needed() == Needed()


def test_where_rows_may_turn_out_to_be_duplicates_some_more_are_waited_for():
    final, claimed = plan_of(100, shard_size=200), plan_of(100, shard_size=200, final=False)
    for plan in (final, claimed):
        finish(plan, 1)
        lease_all(plan)
    for plan in (final, claimed):
        finish(plan, 1, *range(100))
    assert final.needed().cut == 100
    assert claimed.needed().cut == math.inf
    lease_all(claimed)
    finish(claimed, 1, *range(100, claimed.shards[-1].stop))
    assert 102 <= claimed.needed().cut <= 110


def test_late_duplicates_are_learnt_of_from_what_is_committed():
    plan = plan_of(2000, shard_size=100, final=False)
    for _ in range(20):
        shard = plan.lease()
        finish(plan, 1, *range(shard.start, shard.stop))
        plan.commit(shard.index, len(shard) - 20)
    while plan.needed().cut == math.inf:
        shard = plan.lease()
        finish(plan, 1, *range(shard.start, shard.stop))
    assert plan.needed().cut == pytest.approx(2500, abs=25)  # 400 rows are missing, and a fifth are duplicates


def test_a_shard_that_is_committed_short_ends_the_run_that_needs_no_more():
    plan = plan_of(5, shard_size=10)
    lease_all(plan)
    kept = [shard for shard in plan.shards[:-1]]
    for shard in kept:
        plan.commit(shard.index, len(shard))
    last = plan.shards[-1]
    plan.commit(last.index, 5 - plan.kept, last.stop - 1 if len(last) > 1 else None)
    assert plan.done and plan.kept == 5 and plan.missing == 0


def test_a_shard_that_was_committed_short_is_made_further_by_a_run_that_wants_more():
    first = plan_of(8, shard_size=10)
    lease_all(first)
    shards = first.shards
    more = plan_of(30, known=shards)
    more.commit(shards[0].index, 1, shards[0].stop - 1)
    assert not more.done
    assert more.lease() == shards[0]
    more.commit(shards[0].index, 2)
    assert more.lease() == shards[1]


def test_a_shard_that_was_committed_short_counts_only_up_to_its_gap():
    plan = plan_of(20, shard_size=10)
    first, second, *_ = lease_all(plan)
    plan.commit(second.index, 15)
    plan.commit(first.index, 4, first.stop - 1)
    assert not plan.done
    assert plan.lease() == first


def test_as_many_records_as_give_so_many_rows_give_so_many_rows():
    for rate in (0.05, 0.2, 0.9, 1.0, 3.0):
        chances = Chances(rate, rate)
        for rows in (0.0, 1.0, 40.0, 1e6):
            assert chances.rows(chances.records(rows)) == pytest.approx(rows)
    assert Chances(0.0, 0.0).records(1.0) == math.inf


@pytest.mark.parametrize("final", [True, False])
def test_what_is_needed_never_leaves_out_a_record_that_belongs_to_the_dataset(final):
    for seed in range(12):
        rng = random.Random(seed)
        num_records = rng.choice([1, 7, 60])
        plan = plan_of(num_records, shard_size=rng.choice([1, 8, 50]), final=final)
        fates = {}
        done = set()
        while True:
            lease_all(plan)
            open_ = [n for shard in plan.shards for n in range(shard.start, shard.stop) if n not in done]
            needed = plan.needed()
            rows = [n for n in sorted(done) for _ in range(fates[n])]
            if needed.cut < math.inf:
                assert len([n for n in rows if n < needed.cut]) >= num_records
            assert needed.launch <= needed.cut
            wanted = [n for n in open_ if n < needed.launch]
            if not wanted:
                assert needed.cut < math.inf, "nothing may begin, and there are not enough"
                break
            number = rng.choice(wanted[:16])
            fates[number] = int(rng.random() < 0.3)
            done.add(number)
            finish(plan, fates[number], number)
