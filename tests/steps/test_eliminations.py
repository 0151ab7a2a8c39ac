"""What shows that an evolution has failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.steps.eliminations import is_empty_words, is_response, judged_equal, leaks
from synth.steps.prompts import render

IN_DEPTH = ["constraints", "deepen", "concretize", "reasoning", "complicate_input"]


@pytest.mark.parametrize("verdict", ["Equal", "equal.", "**Equal**. Both ask the same.", '"Equal"', " Equal\nbecause"])
def test_a_verdict_that_begins_with_equal_is_one(verdict):
    assert judged_equal(verdict)


@pytest.mark.parametrize("verdict", ["Verdict: Equal", "The answer is: equal."])
def test_a_verdict_may_be_announced(verdict):
    assert judged_equal(verdict)


@pytest.mark.parametrize(
    "verdict", ["", "Equally hard", '"Equal" or "Not equal"', "Equal or not equal?", "Both are fine"]
)
def test_what_says_neither_or_both_is_no_verdict(verdict):
    assert judged_equal(verdict) is None


@pytest.mark.parametrize(
    "verdict", ["Not equal", '"Not Equal".', "unequal", "Verdict: **Not equal**, as one is longer"]
)
def test_a_verdict_that_begins_with_not_equal_is_a_gain(verdict):
    assert judged_equal(verdict) is False


@pytest.mark.parametrize(
    "verdict", ["Not equal", "Not Equal. Equal in length only.", "", "Equally hard", "They are equal"]
)
def test_any_other_verdict_is_none(verdict):
    assert not judged_equal(verdict)


@pytest.mark.parametrize("response", ["", "...", "It is what it was.", "?! -- the, and", "–—…"])
def test_punctuation_and_stop_words_say_nothing(response):
    assert is_empty_words(response)


@pytest.mark.parametrize("response", ["Yes.", "No", "42", "It is Paris.", "日本", "один"])
def test_a_single_word_of_meaning_says_something(response):
    assert not is_empty_words(response)


@pytest.mark.parametrize(
    "evolved",
    [
        "#Rewritten Prompt#: Name two bees.",
        "Name two bees like in the given prompt.",
        "The rewritten prompt asks for bees.",
        "New instruction: Name two bees.",
        "Instruction:\nName two bees.",
        "Name two bees, as in the instruction below.",
        "Name two bees. Rewrite the instruction above.",
        "Name two bees. Rewrite the instruction with a table of them.",
        "Name two bees. You can use the same data as you revise the instruction.",
        "Make it a little harder by adding a limit to the bees.",
        "Name two bees. Add ten to twenty words, and keep it.",
    ],
)
def test_words_of_the_prompt_are_found(evolved):
    assert leaks(evolved, "Name a bee.", "constraints")


@pytest.mark.parametrize(
    "evolved",
    [
        "This instruction asks for the name of a bee, and could be harder.",
        "To make this instruction harder, add a place.",
        "The new instruction has one more requirement.",
        "The question is about bees.",
        "Name two bees.\nHere is a more detailed explanation of the instructions:\n1. Find a bee.",
        "Name two bees.\nThe instructions provide the steps to name a bee.",
    ],
)
def test_a_text_that_speaks_of_the_instruction_is_none(evolved):
    assert leaks(evolved, "Name a bee.", "constraints")


@pytest.mark.parametrize(
    "evolved",
    [
        "The honeybee is a bee.",
        "I'm sorry, but I can't help with that.",
        "Sure, here is one: the honeybee.",
        "As an AI language model, I can name a bee.",
        "That's fantastic, I'm glad to help. Which bee do you mean?",
        "Yes, I can help you with bees. What is it that you want to know?",
        "Bees live in a hive.\n\n1. Find a hive.\n2. Name each bee.",
    ],
)
def test_an_answer_to_the_old_instruction_is_no_new_one(evolved):
    assert is_response(evolved, "Name a bee.")


@pytest.mark.parametrize(
    "evolved",
    ["Name a bee that lives in Rome.", "Which bees sting?", "Nenne zwei Bienen.", "Bees: list three of them."],
)
def test_a_rewriting_is_no_answer(evolved):
    assert not is_response(evolved, "Name a bee.")


def test_an_instruction_that_asks_for_nothing_in_words_may_become_another_of_its_kind():
    assert not is_response("History of jazz in the city of New Orleans", "History of jazz")


def test_words_that_the_instruction_had_before_are_its_own():
    before = "Explain what a given prompt is. Keep its subject and add one requirement."
    assert not leaks(f"{before} Use ten words.", before, "constraints")
    before = "Write an explanation of the instructions of a board game."
    assert not leaks(f"{before} Use ten words.", before, "constraints")


@pytest.mark.parametrize("operation", [*IN_DEPTH, "breadth", "response"])
def test_a_whole_prompt_is_found_and_a_plain_instruction_is_not(operation):

    assert leaks(render(f"evolve_{operation}", instruction="Name a bee.", response="Maja"), "Name a bee.", operation)
    assert not leaks("Name two bees that live in Rome, and say why.", "Name a bee.", operation)


@given(st.text(), st.text())
def test_any_text_can_be_looked_at(one, other):
    for answer in (judged_equal(one), is_empty_words(one), leaks(one, other, "deepen")):
        assert answer in (True, False, None)
