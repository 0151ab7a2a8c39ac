"""Texts that are too short or too long."""

import pytest

from synth.engines import EngineError
from synth.quality.length import Length
from tests.quality.judged import judged


@pytest.mark.parametrize(
    ("unit", "text", "length"),
    [("words", "two  words\n", 2), ("characters", "äß\n", 3), ("lines", "\na\n\nb\n", 3), ("words", "你好世界", 1)],
)
async def test_the_bounds_are_kept_and_what_is_beyond_them_is_not(unit, text, length):
    assert await judged(Length(unit=unit, min=length, max=length), response=text) is None
    assert await judged(Length(unit=unit, min=length + 1), response=text) == "too_short"
    if length > 1:
        assert await judged(Length(unit=unit, max=length - 1), response=text) == "too_long"


async def test_tokens_are_those_of_the_named_tokenizer():
    step = Length(unit="tokens", tokenizer="demo", max=3)
    assert await judged(step, response="a b") is None
    assert await judged(step, response="Explain photosynthesis to me, please.") == "too_long"


async def test_a_tokenizer_that_can_not_be_loaded_is_no_records_fault(tmp_path):
    with pytest.raises(EngineError, match=f"the tokenizer {tmp_path} can't be loaded"):
        await judged(Length(unit="tokens", tokenizer=str(tmp_path), min=1), response="a")


async def test_a_value_of_another_column_can_excuse_a_record():
    step = Length(column="instruction", unit="lines", max=1, unless={"task_category": ["code"]})
    assert await judged(step, instruction="a\nb", task_category="code") is None
    assert await judged(step, instruction="a\nb", task_category="math") == "too_long"
    assert step.needs() == [{"instruction": "texts"}, ("task_category",)]


async def test_every_turn_of_a_side_is_measured():
    turns = [{"role": "user", "content": "a b"}, {"role": "user", "content": "a"}]
    assert await judged(Length(column="user", min=2), messages=turns) == "too_short"


async def test_no_text_is_a_reason_of_its_own():
    assert await judged(Length(min=1), response=None) == "no_response"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "min, max: set at least one of them"),
        ({"min": 3, "max": 2}, "min: is 3, above max, 2"),
        ({"min": 1, "unit": "tokens"}, "tokenizer: only for unit=tokens"),
        ({"min": 1, "tokenizer": "demo"}, "tokenizer: only for unit=tokens"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(keys, expected):
    with pytest.raises(ValueError, match=expected):
        Length(**keys)
