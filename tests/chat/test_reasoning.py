"""Thinking models: what they think is no part of what they answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from synth.chat.reasoning import Reasoning
from tests.chat import formats
from tests.chat.formats import assistant, chat, tokenizer, user

PLAIN = Reasoning("[THINK]", "[/THINK]")


@pytest.mark.parametrize(
    ("text", "prompt_end", "thoughts", "answer"),
    [
        ("<think>\nHm\n</think>\n\nYes", "", "Hm", "Yes"),
        (" \n<think>Hm</think>Yes", "", "Hm", "Yes"),
        ("<think></think>Yes", "", "", "Yes"),
        ("Hm</think>Yes", "assistant\n<think>\n", "Hm", "Yes"),
        ("<think>Hm</think>Yes", "assistant\n<think>\n", "Hm", "Yes"),
        ("<think>Hm, and so", "", "Hm, and so", ""),
        ("Hm, and so", "assistant\n<think>\n", "Hm, and so", ""),
        ("<think>Hm</think>", "", "Hm", ""),
        ("Yes", "", None, "Yes"),
        ("Yes", "<think>\n\n</think>\n\n", None, "Yes"),
        ("", "", None, ""),
        ("Write <think> and </think>.", "", None, "Write <think> and </think>."),
        ("Write </think> then.", "<think>\n\n</think>\n\n", None, "Write </think> then."),
        ("Write </think> then.", "", None, "Write </think> then."),
        ("<think>Hm</think>Write <think>x</think>.", "", "Hm", "Write <think>x</think>."),
    ],
)
def test_thoughts_are_told_from_the_answer(text, prompt_end, thoughts, answer):
    assert Reasoning().split(text, prompt_end) == (thoughts, answer)


def test_an_end_that_is_a_token_ends_thoughts_that_nobody_opened():
    token = Reasoning(is_token=True)
    assert token.split("Hm</think>Yes") == ("Hm", "Yes")
    assert token.split("Yes, </think>", "<think>\n\n</think>\n\n") == (None, "Yes, </think>")
    assert token.split("Write <think> and </think>.") == (None, "Write <think> and </think>.")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Hm</think>\n<response>\nYes\n</response>", "Yes"),
        ("<think>Hm</think><answer>Yes, and", "Yes, and"),
        ("<think>Hm</think><answer>Yes</answer> and", "<answer>Yes</answer> and"),
        ("<answer>Yes</answer>", "<answer>Yes</answer>"),
    ],
)
def test_tags_around_the_whole_answer_of_a_model_that_has_thought_are_no_part_of_it(text, answer):
    assert Reasoning().split(text)[1] == answer


@given(st.text(), st.text())
def test_thoughts_with_tags_are_never_in_the_answer(thoughts, answer):
    result = Reasoning().split(f"<think>{thoughts}</think>{answer}")
    if "</think>" not in thoughts:
        assert result == (thoughts.strip(), answer.strip())


def said(text, template=formats.QWEN3, special=(), prompt=None, **options):
    """What a chat template makes of a model's words, where the tags are added tokens, special or not."""
    made = tokenizer(template)
    made.add_tokens([AddedToken(one, special=True, normalized=False) for one in special], special_tokens=True)
    read = formats.ChatTemplate(made, **options)
    ids = made.encode(text, add_special_tokens=False)
    return read.answer(read.encode([user("Hi")]) if prompt is None else prompt, ids)


def test_tags_that_are_plain_added_tokens_part_an_answer():
    assert said("<think>Hm</think>Yes") == ("Hm", "Yes")


def test_tags_that_are_special_tokens_part_an_answer():
    tags = ("[THINK]", "[/THINK]")
    assert said("[THINK]Hm[/THINK]Yes", special=tags, reasoning=tags) == ("Hm", "Yes")


def test_tags_that_are_no_tokens_part_an_answer():
    assert said("((Hm))Yes", reasoning=("((", "))")) == ("Hm", "Yes")


def test_a_template_that_opens_the_thoughts_is_seen():
    assert said("Hm</think>Yes", formats.DEEPSEEK) == ("Hm", "Yes")
    assert said("Hm, and so", formats.DEEPSEEK) == ("Hm, and so", "")


def test_a_user_who_opens_thoughts_opens_none():
    read = chat(formats.CHATML)
    ids = tokenizer(formats.CHATML).encode("Yes")
    assert read.answer(read.encode([user("Hi <think>")]), ids) == (None, "Yes")


def test_a_user_who_ends_thoughts_ends_none_that_nobody_opened():
    read = chat(formats.QWEN3)
    ids = tokenizer(formats.QWEN3).encode("Hm</think>Yes")
    assert read.answer(read.encode([user("Hi </think>")]), ids) == ("Hm", "Yes")


def test_marks_are_found_among_the_control_tokens_of_the_tokenizer():
    template = formats.LLAMA3 + "{# thinks #}"
    formats.CONTROLS[template] = "<|begin_of_thought|> <|end_of_thought|>"
    assert said("<|begin_of_thought|>Hm<|end_of_thought|>Yes", template) == ("Hm", "Yes")


def test_marks_in_words_are_given_by_hand():
    template = formats.LLAMA3.replace("assistant<|end_header_id|>\\n\\n", "assistant<|end_header_id|>\\n\\nSteps:\\n")
    formats.CONTROLS[template] = formats.CONTROLS[formats.LLAMA3]
    assert template != formats.LLAMA3
    assert said("Hm\n[FINAL]\nYes", template, reasoning=("Steps:", "[FINAL]")) == ("Hm", "Yes")
    assert said("Hm, and so", template, reasoning=("Steps:", "[FINAL]")) == ("Hm, and so", "")


def test_marks_by_hand_win_over_those_of_the_tokenizer():
    assert said("[THINK]Hm[/THINK]<think>Yes", special=(), reasoning=("[THINK]", "[/THINK]")) == ("Hm", "<think>Yes")


def test_without_tags_an_answer_is_taken_as_it_is():
    assert said("<think>Hm</think>Yes", reasoning=None) == (None, "<think>Hm</think>Yes")


def test_text_of_an_engine_that_left_out_special_tags_is_made_again_and_cut_at_the_stop():
    tags = ("[THINK]", "[/THINK]")
    made = tokenizer(formats.QWEN3)
    made.add_tokens([AddedToken(tag, special=True, normalized=False) for tag in tags], special_tokens=True)
    read = formats.ChatTemplate(made, reasoning=tags)
    ids = made.encode("[THINK]Hm[/THINK]Yes END", add_special_tokens=False)
    assert read.answer([], ids, "HmYes ", ("END",)) == ("Hm", "Yes")


def test_earlier_answers_are_told_without_thoughts():
    read = chat(formats.CHATML)
    assert read.without_reasoning("<think>Hm</think>\n\nYes") == "Yes"
    assert read.without_reasoning(" Write </think> then. ") == " Write </think> then. "
    assert read.encode([user("Hi"), assistant(read.without_reasoning("<think>Hm</think>Yes"))]) == read.encode(
        [user("Hi"), assistant("Yes")]
    )
