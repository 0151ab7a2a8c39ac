"""How several models share a run's engines, in numbers."""

import pytest

from synth.preview.split import Need, gpus_of, seconds_of, splits


def test_where_all_is_fixed_there_is_one_way_and_the_slowest_model_decides():
    needs = {"main": Need(6.0, 4.0, 2), "judge": Need(1.0, 1.0, 1)}
    [counts] = splits(needs, "main")
    assert counts == {"main": 2, "judge": 1} and seconds_of(counts, needs) == 3.0 and gpus_of(counts, needs) == 9


def test_gpus_go_to_the_model_for_which_the_others_wait():
    needs = {"main": Need(6.0, 1.0, None), "judge": Need(2.0, 1.0, None)}
    assert splits(needs, "main") == [{"main": 1, "judge": 1}, {"main": 6, "judge": 2}, {"main": 48, "judge": 16}]


def test_engines_of_several_gpus_leave_what_is_too_little_for_them_to_others():
    needs = {"main": Need(1.0, 4.0, None), "judge": Need(1.0, 1.0, None)}
    assert [gpus_of(counts, needs) for counts in splits(needs, "main")] == [5, 8, 64]


def test_a_fixed_model_stays_as_it_is_while_the_other_one_grows():
    needs = {"main": Need(1.0, 1.0, None), "judge": Need(9.0, 1.0, 3)}
    assert splits(needs, "main") == [{"main": 1, "judge": 3}, {"main": 5, "judge": 3}, {"main": 61, "judge": 3}]


@pytest.mark.parametrize("count", [None, 2])
def test_without_gpus_only_main_grows_with_the_machines(count):
    needs = {"main": Need(1.0, 0.0, None), "judge": Need(1.0, 0.0, count)}
    assert [counts["main"] for counts in splits(needs, "main")] == [1, 8, 64]
    assert {counts["judge"] for counts in splits(needs, "main")} == {count or 1}
