"""Suspects: the record that kills its engine is found, and no other is taken for it."""

import random

import pytest

from synth.schedule.suspects import DEATHS, TIMES_OUTLIVED, Suspects


def investigate(suspects, dies, hazard=0.0, rng=None):
    """Tries groups until none is left: those with a record in `dies` kill their engine in a second, and any engine is
    killed `hazard` times a second by someone else. Returns who was set aside and how many engines died."""

    def killed(seconds):
        return bool(hazard) and rng.expovariate(hazard) < seconds

    poison, deaths = [], 0
    while suspects.group:
        if killed(suspects.control_s):
            suspects.acquit()
            deaths += 1
            continue
        suspects.convict()
        if suspects.poison:
            poison += suspects.group
        elif dies & set(suspects.group) or killed(1.0):
            suspects.died(1.0, "gone")
            deaths += 1
            continue
        suspects.finished()
    return poison, deaths


@pytest.mark.parametrize("number", [0, 1, 500, 1023])
def test_the_record_that_kills_its_engine_is_found_in_a_shard_of_1024_with_13_deaths(number):
    assert investigate(Suspects(range(1024)), {number}) == ([number], 10 + DEATHS)


def test_each_of_several_is_found():
    assert investigate(Suspects(range(64)), {3, 4, 40})[0] == [3, 4, 40]


def test_records_are_tried_in_the_order_of_their_numbers():
    suspects = Suspects(range(8))
    suspects.died(1.0, "gone")
    suspects.convict()
    assert suspects.group == [0, 1, 2, 3]
    suspects.finished()
    assert suspects.group == [4, 5, 6, 7]


def test_a_death_counts_only_when_the_next_engine_outlives_it():
    suspects = Suspects([7])
    for _ in range(10):
        suspects.died(2.0, "gone")
        assert suspects.control_s == 2.0 * TIMES_OUTLIVED
        suspects.acquit()
        assert suspects.control_s == 0
        suspects.convict()
    assert suspects.poison is None


def test_the_last_error_is_told():
    suspects = Suspects([7])
    for error in ("first", "second", "third"):
        assert suspects.poison is None
        assert suspects.last_chance == (error == "third")
        suspects.died(1.0, error)
        suspects.convict()
    assert suspects.poison == "third"


def test_what_is_finished_is_under_suspicion_no_more():
    suspects = Suspects(range(8))
    suspects.died(1.0, "gone")
    suspects.convict()
    suspects.keep({2, 6, 7})
    assert suspects.group == [2]
    suspects.finished()
    assert suspects.group == [6, 7]
    suspects.keep(set())
    assert suspects.group == []


@pytest.mark.parametrize("hazard", [0.02, 0.095, 0.3, 0.7])
def test_nobody_is_set_aside_where_engines_are_killed_at_random(hazard):
    rng = random.Random(0)
    for _ in range(200):
        assert investigate(Suspects(range(8)), set(), hazard, rng)[0] == []
