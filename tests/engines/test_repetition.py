"""Answers that go round in circles: found at the token at which vLLM's rule finds them."""

import random

import pytest

from synth.engines import Sampling
from synth.engines.repetition import LoopFinder, RepetitionDetection, loops

PHRASE = list(range(10))


def ends_in_a_loop(token_ids, least, most, times):
    """The rule, as it is written."""
    return any(
        len(token_ids) >= size * times and token_ids[-size * times :] == token_ids[-size:] * times
        for size in range(least, most + 1)
    )


@pytest.mark.parametrize(("least", "most", "times"), [(1, 1, 2), (1, 4, 3), (2, 6, 2), (8, 64, 3), (3, 5, 4)])
def test_a_loop_is_found_at_the_first_token_that_completes_it_and_nowhere_else(least, most, times):
    detection = RepetitionDetection(min_pattern_size=least, max_pattern_size=most, min_count=times)
    rng = random.Random(least * 100 + most)
    found = 0
    for _ in range(150):
        token_ids = rng.choices(range(rng.choice([2, 3, 8])), k=rng.randint(0, 60))
        if rng.random() < 0.5:
            token_ids += rng.choices(range(50), k=rng.randint(1, most + 2)) * rng.randint(1, times + 1)
        lengths = range(1, len(token_ids) + 1)
        first = next((n for n in lengths if ends_in_a_loop(token_ids[:n], least, most, times)), None)
        assert LoopFinder(detection).read(token_ids) == first
        found += first is not None
    assert 10 < found < 150


def test_an_answer_that_is_read_in_parts_loops_where_it_does_as_a_whole():
    token_ids = [99, *PHRASE * 4]
    finder = LoopFinder(RepetitionDetection())
    assert [finder.read(token_ids[:n]) for n in (5, 30, 31, 32, 41)] == [None, None, 31, 31, 31]


def test_by_default_short_patterns_loop_when_they_are_there_for_twenty_four_tokens():
    usual = Sampling().repetition_detection
    assert not loops([7] * 23, usual) and loops([7] * 24, usual)
    assert not loops(PHRASE * 2, usual) and loops(PHRASE * 3, usual)
    assert not loops(list(range(65)) * 3, usual) and loops(list(range(64)) * 3, usual)


@pytest.mark.parametrize("off", [None, False])
def test_null_and_false_switch_it_off(off):
    assert not loops([7] * 100, Sampling(repetition_detection=off).repetition_detection)


def test_true_is_the_default_and_single_keys_leave_the_others_as_they_are():
    assert Sampling(repetition_detection=True) == Sampling()
    assert Sampling(repetition_detection={"min_count": 5}).repetition_detection == RepetitionDetection(min_count=5)


def test_a_smallest_pattern_above_the_largest_is_refused():
    with pytest.raises(ValueError, match="min_pattern_size: is 9, above max_pattern_size"):
        Sampling(repetition_detection={"min_pattern_size": 9, "max_pattern_size": 8})
