"""The plan: enough shards and not many more, in whatever order they are finished, lost or found on disk."""

import itertools
import math
import random
from dataclasses import asdict, dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.records import Shard, Slice
from synth.resumption.slices import join
from synth.schedule.plan import Plan
from synth.storage.manifest import Manifest
from synth.storage.shard import ShardSummary


def plan_of(num_records, *, shard_size=10, replicas=1, min_yield=0.05, **more):
    return Plan(num_records, shard_size=shard_size, replicas=replicas, min_yield=min_yield, **more)


def lease_all(plan):
    shards = []
    while shard := plan.lease():
        shards.append(shard)
    return shards


def test_shards_are_leased_lowest_first_and_cover_as_many_records_as_are_wanted():
    shards = lease_all(plan_of(100))
    assert shards == [Shard(n, 10 * n, 10 * n + 10) for n in range(10)]


def test_nothing_more_is_leased_while_what_is_out_is_expected_to_be_enough():
    plan = plan_of(100)
    lease_all(plan)
    assert plan.lease() is None
    assert not plan.done


def test_a_small_run_still_has_several_shards_for_each_replica():
    assert len(lease_all(plan_of(100, shard_size=1024))) == 4
    assert len(lease_all(plan_of(100, shard_size=1024, replicas=4))) >= 12
    assert [len(shard) for shard in lease_all(plan_of(1, shard_size=1024, replicas=8))] == [1]


def test_the_last_shards_are_small_where_several_replicas_are_to_end_together():
    sizes = [len(shard) for shard in lease_all(plan_of(8000, shard_size=256, replicas=4))]
    assert sizes[0] == 256 and min(sizes[:-1]) == 16
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes[-4:]) < 256
    assert {len(shard) for shard in lease_all(plan_of(8192, shard_size=256))} == {256}


def test_rejections_make_the_plan_grow_by_what_is_missing():
    plan = plan_of(100)
    for shard in lease_all(plan):
        plan.commit(shard.index, 8)
    more = sum(len(shard) for shard in lease_all(plan))
    assert 20 / 0.9 <= more <= 20 / 0.7
    assert plan.shards[10].start == 100


def test_the_plan_grows_while_other_shards_still_run():
    plan = plan_of(100)
    first, *_ = lease_all(plan)
    plan.commit(first.index, 5)
    assert plan.lease() is not None


def test_records_that_fan_out_need_fewer_shards():
    plan = plan_of(100, shard_size=5)
    plan.commit(plan.lease().index, 50)
    assert 5 + sum(map(len, lease_all(plan))) < 30


def test_a_released_shard_is_the_next_to_be_leased():
    plan = plan_of(100)
    first, second, *_ = lease_all(plan)
    plan.release(second)
    assert plan.lease() == second
    plan.release(first)
    assert plan.lease() == first


def test_a_run_is_done_only_when_its_first_shards_are_committed_without_a_gap():
    plan = plan_of(20)
    first, *others = lease_all(plan)
    for shard in others:
        plan.commit(shard.index, 50)
    assert not plan.done
    plan.commit(first.index, 5)
    assert plan.done
    assert plan.lease() is None


def test_a_shard_in_a_gap_is_leased_though_more_than_enough_is_kept_above_it():
    plan = plan_of(20)
    lost, *others = lease_all(plan)
    for shard in others:
        plan.commit(shard.index, 50)
    plan.release(lost)
    assert plan.lease() == lost


def test_a_shard_that_is_committed_twice_counts_once():
    plan = plan_of(20)
    shard = plan.lease()
    plan.release(shard)
    plan.lease()
    plan.commit(shard.index, 3)
    plan.commit(shard.index, 3)
    plan.release(shard)
    assert plan.kept == 3
    assert plan.lease().index == shard.index + 1


def test_known_shards_keep_their_ranges_whatever_the_number_of_replicas():
    known = [Shard(0, 0, 7), Shard(1, 7, 14)]
    plan = plan_of(30, replicas=4, known=known)
    plan.commit(1, 7)
    leased = lease_all(plan)
    assert leased[0] == known[0]
    assert leased[1].start == 14


def test_a_run_that_was_done_is_done_when_it_is_resumed():
    plan = plan_of(10, known=[Shard(0, 0, 10)])
    plan.commit(0, 10)
    assert plan.done and plan.lease() is None


def test_a_resumed_run_that_wants_more_goes_on_after_its_known_shards():
    plan = plan_of(40, known=[Shard(0, 0, 10)])
    plan.commit(0, 10)
    assert [shard.start for shard in lease_all(plan)] == [10, 20, 30]


def test_a_yield_below_the_least_one_is_hopeless_once_there_is_enough_to_judge():
    plan = plan_of(1000, shard_size=100, min_yield=0.1)
    first, second, *_ = lease_all(plan)
    plan.commit(first.index, 0)
    assert not plan.hopeless
    plan.commit(second.index, 10)
    assert plan.hopeless
    assert plan.lease() is None


def test_a_few_rejections_at_the_start_do_not_make_the_plan_explode():
    plan = plan_of(10, min_yield=0.01)
    for shard in lease_all(plan):
        plan.commit(shard.index, 0)
    assert sum(map(len, lease_all(plan))) <= 40


def test_a_source_bounds_the_records_and_is_exhausted_when_all_of_them_are_finished():
    plan = plan_of(100, source_size=25)
    *shards, last = lease_all(plan)
    assert last.stop == 25
    for shard in shards:
        plan.commit(shard.index, len(shard))
    assert not plan.exhausted
    plan.commit(last.index, len(last))
    assert plan.exhausted and not plan.done


def test_an_empty_source_is_exhausted_from_the_start():
    assert plan_of(10, source_size=0).lease() is None
    assert plan_of(10, source_size=0).exhausted


def test_new_shards_are_told_of_before_any_of_them_is_leased():
    result = []
    plan = plan_of(100, on_growth=lambda: result.append(len(plan.shards)))
    plan.lease()
    assert result == [10]
    for shard in [plan.shards[0], *lease_all(plan)]:
        plan.commit(shard.index, 5)
    plan.lease()
    assert len(result) == 2


@dataclass
class SimulatedRun:
    """A run whose records' fates are a function of their numbers, with workers lost and the job killed at random."""

    num_records: int
    rate: float
    num_outputs: int
    source_size: int | None
    seed: int
    committed: dict[int, int] = field(default_factory=dict)
    shards: list[Shard] = field(default_factory=list)
    made: int = 0

    def kept(self, shard):
        fates = (random.Random(f"{self.seed}/{n}").random() for n in range(shard.start, shard.stop))
        return sum(self.num_outputs for fate in fates if fate < self.rate)

    def job(self, rng, shard_size, replicas, last):
        """Until the plan ends or, but for the last one, the job is killed. Returns the plan."""
        bounds = {"min_yield": 0.02, "source_size": self.source_size, "known": self.shards}
        plan = Plan(self.num_records, shard_size=shard_size, replicas=replicas, **bounds)
        for index, kept in self.committed.items():
            plan.commit(index, kept)
        self.go(plan, rng, replicas, last)
        self.shards = plan.shards
        return plan

    def array(self, rng, of, shard_size, replicas):
        """Jobs of slices that end or are killed, some of which never begin; then what a single job takes over."""
        parts = []
        for slice in (Slice(number, of) for number in range(of)):
            bounds = {"min_yield": 0.02, "source_size": self.source_size, "slice": slice}
            wanted = slice.count(self.num_records, shard_size)
            plan = Plan(wanted, shard_size=shard_size, replicas=replicas, **bounds)
            if rng.random() < 0.8:
                self.go(plan, rng, replicas, rng.random() < 0.5)
            shards = [shard for shard in plan.shards if shard.index in self.committed]
            committed = {
                shard.index: ShardSummary(**asdict(shard), kept=self.committed[shard.index], rejected=0)
                for shard in shards
            }
            part = Manifest({}, {}, {}, self.num_records, shards=plan.shards, committed=committed)
            part.slice, part.shard_size = slice, shard_size
            parts.append((None, part))
        whole = Manifest({}, {}, {}, self.num_records)
        join(whole, parts, self.source_size)
        assert {summary.index: summary.kept for summary in whole.summaries} == self.committed
        self.shards = whole.shards

    def go(self, plan, rng, replicas, last):
        out = []
        while not (plan.done or plan.hopeless or plan.exhausted):
            while len(out) < replicas * 2 and (shard := plan.lease()):
                out.append(shard)
            assert out, "nothing is leased and nothing is to be had: a deadlock"
            if not last and rng.random() < 0.05:
                break
            shard = out.pop(rng.randrange(len(out)))
            if rng.random() < 0.2:
                plan.release(shard)
                continue
            assert shard.index not in self.committed, "made twice"
            self.made += len(shard)
            self.committed[shard.index] = self.kept(shard)
            plan.commit(shard.index, self.committed[shard.index])

    def dataset(self):
        """Record numbers of the dataset's rows: the first of the committed prefix."""
        rows, index = [], 0
        while index in self.committed:
            shard = self.shards[index]
            for n in range(shard.start, shard.stop):
                if random.Random(f"{self.seed}/{n}").random() < self.rate:
                    rows += [n] * self.num_outputs
            index += 1
        return rows[: self.num_records]


@settings(max_examples=150, deadline=None)
@given(
    num_records=st.integers(1, 400),
    rate=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
    num_outputs=st.sampled_from([1, 3]),
    source_size=st.none() | st.integers(0, 600),
    seed=st.integers(0, 10**6),
    shard_size=st.sampled_from([1, 7, 64, 1024]),
    replicas=st.sampled_from([1, 2, 8]),
)
def test_every_run_ends_well_whatever_is_lost_and_killed(
    num_records, rate, num_outputs, source_size, seed, shard_size, replicas
):
    run, rng = SimulatedRun(num_records, rate, num_outputs, source_size, seed), random.Random(seed)
    for last in (False, False, True):
        plan = run.job(rng, shard_size, rng.choice([1, replicas]), last)
    spans = [(shard.start, shard.stop) for shard in run.shards]
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(spans))
    assert source_size is None or all(stop <= source_size for _, stop in spans)
    if plan.done:
        alone = SimulatedRun(num_records, rate, num_outputs, source_size, seed)
        if alone.job(random.Random(0), shard_size, 1, True).done:
            assert run.dataset() == alone.dataset()
        assert len(run.dataset()) == num_records


@settings(max_examples=150, deadline=None)
@given(
    num_records=st.integers(1, 400),
    rate=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
    num_outputs=st.sampled_from([1, 3]),
    source_size=st.none() | st.integers(1, 600),
    seed=st.integers(0, 10**6),
    shard_size=st.sampled_from([1, 7, 64]),
    of=st.sampled_from([1, 2, 3, 8]),
)
def test_a_single_job_after_any_slices_gives_what_it_would_have_given_alone(
    num_records, rate, num_outputs, source_size, seed, shard_size, of
):
    run, rng = SimulatedRun(num_records, rate, num_outputs, source_size, seed), random.Random(seed)
    run.array(rng, of, shard_size, replicas=2)
    run.job(rng, 10, 3, False)
    plan = run.job(rng, 64, 2, True)
    spans = [(shard.start, shard.stop) for shard in run.shards]
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise([(0, 0), *spans]))
    alone = SimulatedRun(num_records, rate, num_outputs, source_size, seed)
    if alone.job(random.Random(0), shard_size, 1, True).done and plan.done:
        assert run.dataset() == alone.dataset()
    if plan.exhausted:
        assert run.dataset() == alone.dataset()


@pytest.mark.parametrize("source_size", [None, 95])
def test_slices_that_reject_nothing_make_each_wanted_record_once(source_size):
    made = []
    for number in range(4):
        bounds = {"source_size": source_size, "slice": Slice(number, 4)}
        wanted = Slice(number, 4).count(90, 10)
        plan = plan_of(wanted, shard_size=10, replicas=3, **bounds)
        shards = lease_all(plan)
        for shard in shards:
            plan.commit(shard.index, len(shard))
        assert plan.done
        made += [record for shard in shards for record in range(shard.start, shard.stop)]
    assert sorted(made) == list(range(90))


def test_a_slice_has_all_rows_of_its_own_when_all_are_wanted():
    slices = [plan_of(None, shard_size=10, source_size=57, slice=Slice(number, 3)) for number in range(3)]
    shards = [lease_all(plan) for plan in slices]
    assert [[one.index for one in own] for own in shards] == [[0, 3], [1, 4], [2, 5]]
    assert [one.stop for own in shards for one in own if one.index == 5] == [57]
    assert [plan.unfinished for plan in slices] == [20, 20, 17]


def test_a_slice_that_rejects_goes_on_in_its_own_shards():
    plan = plan_of(20, shard_size=10, slice=Slice(1, 3))
    for shard in lease_all(plan):
        plan.commit(shard.index, 5)
    assert {one.index % 3 for one in lease_all(plan)} == {1}
    assert all((shard.start, shard.stop) == (10 * shard.index, 10 * shard.index + 10) for shard in plan.shards)


@pytest.mark.parametrize(("rate", "num_outputs"), [(1.0, 1), (0.9, 1), (0.5, 1), (0.2, 1), (1.0, 3)])
@pytest.mark.parametrize("replicas", [1, 8])
def test_little_more_is_made_than_is_needed(rate, num_outputs, replicas):
    for seed in range(10):
        run = SimulatedRun(2000, rate, num_outputs, None, seed)
        run.job(random.Random(seed), 1024, replicas, True)
        in_flight_at_the_end = 2 * replicas * max(map(len, run.shards))
        assert run.made <= 1.15 * 2000 / (rate * num_outputs) + in_flight_at_the_end / 2


def test_all_records_are_those_of_the_source_whatever_is_kept_of_them():
    plan = plan_of(None, source_size=25, shard_size=10)
    while shard := plan.lease():
        assert not plan.done
        plan.commit(shard.index, 0)
    assert plan.done and not plan.hopeless
    assert [(shard.start, shard.stop) for shard in plan.shards][-1][1] == 25


def test_all_records_are_planned_at_once_for_as_many_shards_as_replicas_want():
    plan = plan_of(None, source_size=100, shard_size=1000, replicas=5)
    plan.lease()
    assert [len(shard) for shard in plan.shards] == [5] * 20
    assert plan.unfinished == 100


def test_all_records_with_some_committed_before_are_those_that_are_left():
    plan = plan_of(None, source_size=20, known=[Shard(0, 0, 10), Shard(1, 10, 20)])
    plan.commit(1, 30)
    assert not plan.done
    plan.commit(0, 0)
    assert plan.done


def test_a_strategy_that_does_not_tell_its_fan_out_begins_with_shards_of_one_record_that_grow():
    sizes = [len(shard) for shard in lease_all(plan_of(2000, shard_size=100, declares_num_outputs=False))]
    assert sizes[:7] == [1, 1, 2, 4, 8, 16, 32]
    assert set(sizes[8:-1]) <= {100, *range(100)} and max(sizes) == 100
    assert sum(sizes) == 2000


def test_two_or_three_records_are_enough_where_each_becomes_ten_thousand():
    plan = plan_of(25_000, shard_size=1024, declares_num_outputs=False)
    made = 0
    while not plan.done:
        shard = plan.lease()
        made += len(shard)
        plan.commit(shard.index, 10_000 * len(shard))
    assert made <= 4


def test_shards_shrink_as_the_fan_out_grows():
    plan = plan_of(10**7, shard_size=1000, declares_num_outputs=False)
    for _ in range(12):
        shard = plan.lease()
        plan.commit(shard.index, 500 * len(shard))
    assert max(len(shard) for shard in plan.shards[4:]) <= 10


def test_a_plan_of_a_hundred_million_records_has_no_more_shards_than_it_is_to_have():
    plan = Plan(10**8, shard_size=1024, replicas=1000, min_yield=0.05, most_shards=10_000)
    plan.next()
    assert 10_000 <= len(plan.shards) < 30_000  # the last ones are small
    assert sum(map(len, plan.shards)) >= 10**8


def test_a_plan_that_is_to_have_fewer_shards_leaves_those_of_a_small_run_as_they_are():
    plans = [Plan(5000, shard_size=512, replicas=2, min_yield=0.05, most_shards=most) for most in (2, 1e4, math.inf)]
    for plan in plans:
        plan.next()
    assert plans[1].shards == plans[2].shards
    assert len(plans[0].shards) < len(plans[1].shards)
