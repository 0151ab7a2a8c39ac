"""What a report says of the KV caches of a run's engines."""

from synth.report.caches import caches, preemption_note

FIRST = {"started": 1.0, "completion_tokens": 400, "recomputed": 100, "preempted": 3, "cache_tokens": 9000}
AGAIN = {"started": 2.0, "completion_tokens": 100, "recomputed": 20, "preempted": 1, "cache_tokens": 4000}
AGAIN |= {"prompt_tokens": 200, "cached_tokens": 50, "engine_seconds": 10.0, "form_seconds": 2.5}
LINES = [FIRST | {"cache_usage": 1.0}, FIRST | {"completion_tokens": 800}, AGAIN]


def test_all_processes_of_a_run_count_with_their_last_line():
    assert caches(LINES).numbers == {
        "KV cache": "9,000 tokens, at most 100% in use",
        "prompts from the prefix cache": "25%",
        "preempted": "4 requests, 120 tokens recomputed",
        "structured output": "25% of the engines' time",
    }


def test_the_end_of_a_run_says_what_a_small_cache_cost_where_it_did():
    assert preemption_note(caches(LINES)) == (
        "KV cache too small for the batch: 4 requests were preempted and 12% of all tokens recomputed; see docs/gpu.md"
    )
    assert preemption_note(caches([LINES[0] | {"recomputed": 4}])) is None


def test_of_engines_that_do_not_say_there_is_nothing_to_tell():
    assert caches([]).numbers == caches([{"started": 1.0, "completion_tokens": 5}]).numbers == {}
