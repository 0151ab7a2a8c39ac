"""The recent yield, by which a run with strata goes on."""

from synth.schedule.plan import Plan
from synth.schedule.recent import ENOUGH, SKIPPED, Recent


def test_the_first_records_are_forgotten_once_there_is_enough_to_judge_by():
    recent = Recent()
    for _ in range(10):
        recent.add(100, 90, 0)
    recent.add(ENOUGH, 1, 0)
    assert (recent.records, recent.kept) == (ENOUGH, 1)


def test_what_is_skipped_is_no_sign_of_a_low_yield_until_nothing_comes_for_very_long():
    recent = Recent()
    recent.add(50_000, 20, 49_980)
    assert not recent.gives_too_few(0.05)
    recent.add(SKIPPED, 0, SKIPPED)
    assert recent.gives_too_few(0.05)


def test_what_is_made_in_vain_is():
    recent = Recent()
    recent.add(1000, 900, 0)
    recent.add(ENOUGH + 500, 9, 500)
    assert recent.gives_too_few(0.05)


def test_a_plan_whose_short_stratum_is_rare_grows_by_what_is_expected_of_it():
    plan = Plan(1000, shard_size=100, replicas=1, min_yield=0.05, stratified=True)
    while shard := plan.lease():
        plan.commit(shard.index, 98 if shard.stop <= 1000 else 1, skipped=0 if shard.stop <= 1000 else 97)
        if plan.kept >= 995:
            break
    assert plan.yield_so_far < 0.05
    assert not plan.hopeless
