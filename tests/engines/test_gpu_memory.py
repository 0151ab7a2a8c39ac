"""How much of a GPU an engine takes where nobody says."""

import pytest

from synth.engines.gpu_memory import LLMS, Memory, share, utilization


@pytest.mark.parametrize(("gib", "expected"), [(23.5, 0.92), (79.6, 0.92), (95.6, 0.933), (140.4, 0.95), (178.4, 0.95)])
def test_a_large_gpu_is_left_no_more_than_a_small_one(gib, expected):
    assert share(gib) == expected >= LLMS


def test_what_others_hold_of_a_gpu_is_left_to_them():
    assert utilization(lambda: [Memory(80, 79.5), Memory(80, 60)], wait=lambda _: None) == 0.73


def test_memory_that_a_process_is_about_to_give_back_is_waited_for():
    looks = iter([Memory(80, 20), Memory(80, 50), Memory(80, 79)])
    waited = []
    assert utilization(lambda: [next(looks)], wait=waited.append) == LLMS
    assert len(waited) == 2


def test_a_gpu_that_is_taken_is_left_to_vllm_to_refuse():
    assert utilization(lambda: [Memory(80, 10)], wait=lambda _: None) == LLMS


def test_without_a_driver_that_answers_it_is_what_vllms_llm_takes():
    assert utilization(lambda: []) == LLMS
