"""Test sets, and records that hold a piece of one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.components.instantiate import build
from synth.engines import EngineError
from synth.errors import ConfigError
from synth.quality.contamination import Decontaminate, NgramIndex
from synth.steps.function import StepFunction
from tests.quality.judged import judged

QUESTION = (
    "A train leaves the station at noon and drives sixty miles an hour; when will it be in the next town, which is "
    "ninety miles away?"
)
SHORT = "Which planet of the solar system has the most moons?"


@pytest.fixture
def tests(tmp_path):
    path = tmp_path / "test.jsonl"
    rows = [{"question": QUESTION, "answer": "half past one", "choices": [SHORT]}, {"question": "Why?", "answer": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        QUESTION,
        f"Solve this: {QUESTION.upper()} Think aloud.",
        "It leaves the station, at noon - and drives sixty miles an hour: when will it be there?",
        f"Tell me. {SHORT} And why?",
    ],
)
async def test_words_in_a_row_of_a_test_are_found_whatever_is_around_them(tests, text):
    assert await judged(Decontaminate(against=tests), instruction=text) == "contaminated"


@pytest.mark.parametrize(
    "text",
    [
        "A train leaves the station at noon and drives fifty miles an hour; when does it arrive?",
        "Which planet of the solar system has the fewest moons?",
        "half past one",
        "Why?",
        "?",
    ],
)
async def test_fewer_words_than_that_are_no_contamination(tests, text):
    assert await judged(Decontaminate(against=tests), instruction=text) is None


async def test_the_rejection_says_which_words(tests):
    step = Decontaminate(against=tests, look_at=["instruction", "response"])
    with pytest.raises(Exception) as caught:
        await step({"instruction": "a", "response": f"x {SHORT} y"}, None)
    assert caught.value.detail == "response: which planet of the solar system has the most moons"


async def test_only_the_named_columns_of_a_test_count(tests):
    step = Decontaminate(against=tests, test_columns=["question"])
    assert await judged(step, instruction=SHORT) is None
    assert await judged(step, instruction=QUESTION) == "contaminated"


async def test_any_source_of_synths_is_a_test_set(tests):
    node = {
        "_target_": "synth.quality.contamination.Decontaminate",
        "against": [{"_target_": "synth.sources.files.Files", "path": tests, "limit": 1}],
    }
    assert await judged(build(node, "strategy.x", StepFunction), instruction=QUESTION) == "contaminated"


def test_a_test_set_that_is_not_there_is_refused_before_anything_starts(tests):
    node = {"_target_": "synth.quality.contamination.Decontaminate", "against": tests + "x"}
    with pytest.raises(ConfigError, match=r"did you mean .*test.jsonl"):
        build(node, "strategy.x", StepFunction)


async def test_more_test_data_than_the_memory_is_for_ends_the_run(tests):
    with pytest.raises(EngineError, match="the test sets can't be loaded: they hold more than max_ngrams=5 different"):
        await judged(Decontaminate(against=tests, max_ngrams=5), instruction="a")


words = st.lists(st.sampled_from("abcd"), max_size=30)


@given(st.lists(words, max_size=5), words)
@settings(max_examples=200, deadline=None)
def test_the_index_finds_what_a_search_of_the_texts_finds(examples, record):
    index = NgramIndex.of([" ".join(example) for example in examples], 5, 3, 10_000)
    needles = [
        example[start : start + 5]
        for example in examples
        if len(example) >= 3
        for start in range(max(1, len(example) - 4))
    ]
    expected = any(record[at : at + len(needle)] == needle for needle in needles for at in range(len(record)))
    assert (index.shared(" ".join(record)) is not None) == expected
