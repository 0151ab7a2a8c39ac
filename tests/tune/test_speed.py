"""How fast an engine was while its batch was full."""

from synth.tune.speed import Sample, speed

FILLING = [Sample(0, 0, 0, 2, 0), Sample(1, 10, 0, 6, 0)]
FULL = [Sample(2, 100, 0, 10, 1), Sample(3, 300, 4, 9, 4), Sample(4, 500, 8, 10, 5)]
EMPTYING = [Sample(5, 550, 12, 4, 9), Sample(6, 560, 15, 0, 9)]


def test_how_a_batch_fills_and_empties_does_not_count():
    found = speed([*FILLING, *FULL, *EMPTYING])
    assert (found.seconds, found.tokens, found.kept, found.preempted) == (2, 200, 4, 4)


def test_at_once_is_how_many_ran_on_average():
    assert speed(FULL).at_once == (10 + 9 + 10) / 3


def test_preemptions_of_an_engine_that_does_not_say_are_not_known():
    assert speed([Sample(one.at, one.tokens, one.kept, one.running) for one in FULL]).preempted is None


def test_a_batch_that_is_full_for_no_time_has_no_speed():
    assert speed([]) is None
    assert speed([Sample(0, 0, 0, 0), Sample(1, 0, 0, 0)]) is None
    assert speed([*FILLING, FULL[0], *EMPTYING]) is None
