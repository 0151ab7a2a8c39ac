"""Which texts filters look at, and what in them is prose."""

import pytest

from synth.quality.texts import columns_of, prose, texts
from synth.records import Rejection

TALK = {
    "instruction": "one",
    "response": "two",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ],
}


@pytest.mark.parametrize(
    ("column", "found"), [("instruction", ["one"]), ("user", ["one", "three"]), ("assistant", ["two"])]
)
def test_a_column_is_one_text_and_a_side_of_the_conversation_all_its_turns(column, found):
    assert texts(TALK, column) == found


def test_without_a_conversation_a_side_is_its_first_turn():
    assert texts({"instruction": "one", "messages": None}, "user") == ["one"]
    assert columns_of("user") == [{"instruction": "text", "messages": "conversation"}]


@pytest.mark.parametrize("value", [None, "", " \n", 5, ["one", None], []])
def test_what_is_no_text_is_a_rejection_that_names_the_column(value):
    with pytest.raises(Rejection) as caught:
        texts({"response": value}, "response")
    assert caught.value.reason == "no_response"


def test_a_side_that_says_nothing_is_a_rejection():
    with pytest.raises(Rejection):
        texts({"messages": [{"role": "user", "content": "one"}]}, "assistant")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\n```py\ncode\n```\nb", "a\n\n\nb"),
        ("a\n~~~\n```\n~~~\nb", "a\n\n\nb"),
        ("a\n````\n```\n````\nb", "a\n\n\nb"),
        ("a\n```\nnever closed", "a\n\n"),
        ("a `b` c", "a `b` c"),
    ],
)
def test_prose_is_what_is_not_in_a_code_fence(text, left):
    assert prose(text) == left
