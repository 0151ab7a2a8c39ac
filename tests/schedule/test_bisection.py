"""Bisection: the record that kills its engine is found, and no other is taken for it."""

import random

import pytest

from synth.schedule.bisection import DEATHS, TIMES_OUTLIVED, Bisection


def investigate(bisection, dies, hazard=0.0, rng=None):
    """Tries groups until none is left: those with a record in `dies` kill their engine in a second, and any engine is
    killed `hazard` times a second by someone else. Returns who was set aside and how many engines died."""

    def killed(seconds):
        return bool(hazard) and rng.expovariate(hazard) < seconds

    poison, deaths = [], 0
    while bisection.group:
        if killed(bisection.control_s):
            bisection.discard_death()
            deaths += 1
            continue
        bisection.confirm_death()
        if bisection.poison:
            poison += bisection.group
        elif dies & set(bisection.group) or killed(1.0):
            bisection.died(1.0, "gone")
            deaths += 1
            continue
        bisection.finished()
    return poison, deaths


@pytest.mark.parametrize("number", [0, 1, 500, 1023])
def test_the_record_that_kills_its_engine_is_found_in_a_shard_of_1024_with_13_deaths(number):
    assert investigate(Bisection(range(1024)), {number}) == ([number], 10 + DEATHS)


def test_each_of_several_is_found():
    assert investigate(Bisection(range(64)), {3, 4, 40})[0] == [3, 4, 40]


def test_records_are_tried_in_the_order_of_their_numbers():
    bisection = Bisection(range(8))
    bisection.died(1.0, "gone")
    bisection.confirm_death()
    assert bisection.group == [0, 1, 2, 3]
    bisection.finished()
    assert bisection.group == [4, 5, 6, 7]


def test_a_death_counts_only_when_the_next_engine_outlives_it():
    bisection = Bisection([7])
    for _ in range(10):
        bisection.died(2.0, "gone")
        assert bisection.control_s == 2.0 * TIMES_OUTLIVED
        bisection.discard_death()
        assert bisection.control_s == 0
        bisection.confirm_death()
    assert bisection.poison is None


def test_the_last_error_is_told():
    bisection = Bisection([7])
    for error in ("first", "second", "third"):
        assert bisection.poison is None
        assert bisection.last_chance == (error == "third")
        bisection.died(1.0, error)
        bisection.confirm_death()
    assert bisection.poison == "third"


def test_what_is_finished_is_under_suspicion_no_more():
    bisection = Bisection(range(8))
    bisection.died(1.0, "gone")
    bisection.confirm_death()
    bisection.keep({2, 6, 7})
    assert bisection.group == [2]
    bisection.finished()
    assert bisection.group == [6, 7]
    bisection.keep(set())
    assert bisection.group == []


@pytest.mark.parametrize("hazard", [0.02, 0.095, 0.3, 0.7])
def test_nobody_is_set_aside_where_engines_are_killed_at_random(hazard):
    rng = random.Random(0)
    for _ in range(200):
        assert investigate(Bisection(range(8)), set(), hazard, rng)[0] == []
