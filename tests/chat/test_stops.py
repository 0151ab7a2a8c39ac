"""What ends a user's words and what ends an answer, read from the template."""

import pytest

from synth.chat import ChatTemplateError
from tests.chat import formats
from tests.chat.formats import chat, tokenizer


def stops(template: str, which: str, **options) -> tuple[list[str], tuple[str, ...]]:
    stop = getattr(chat(template, **options), which)
    return tokenizer(template).convert_ids_to_tokens(list(stop.token_ids)), stop.strings


@pytest.mark.parametrize(
    ("template", "tokens"),
    [
        (formats.CHATML, ["<|im_end|>", "<|im_start|>"]),
        (formats.LLAMA3, ["<|eot_id|>", "<|start_header_id|>", "</s>"]),
        (formats.GEMMA2, ["<end_of_turn>", "<start_of_turn>", "</s>"]),
        (formats.MISTRAL, ["[/INST]", "</s>"]),
        (formats.PHI3, ["<|end|>", "<|assistant|>", "</s>"]),
        (formats.ZEPHYR, ["</s>"]),
        (formats.DEEPSEEK, ["<｜Assistant｜>", "</s>"]),
        (formats.HARMONY, ["<|end|>", "<|start|>", "<|return|>"]),
    ],
)
def test_a_users_words_end_where_the_turn_closes_the_next_one_opens_or_at_eos(template, tokens):
    assert stops(template, "query_stop") == (tokens, ())


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (formats.VICUNA, " ASSISTANT:"),
        (formats.ALPACA, "\n### Response:"),
        (formats.LLAMA2, "[/INST]"),
    ],
)
def test_where_turns_are_marked_in_plain_words_the_next_heading_ends_the_users(template, words):
    assert stops(template, "query_stop") == (["</s>"], (words,))


def test_without_a_generation_prompt_the_assistants_heading_is_read_from_an_answer():
    template = formats.loop("{{ m.role | upper + ':\\n' + m.content + '\\n' }}")
    assert stops(template, "query_stop") == (["</s>"], ("\nASSISTANT:",))


def test_thinking_that_opens_an_answer_ends_no_users_words():
    assert stops(formats.QWEN3, "query_stop", template_kwargs={"enable_thinking": False}) == (
        ["<|im_end|>", "<|im_start|>"],
        (),
    )


def test_what_a_template_adds_to_a_users_words_is_no_part_of_them():
    template = formats.loop("{{ '<|user|>' + m.content + '/nothink<|assistant|><think></think>' }}")
    formats.CONTROLS[template] = "<|user|> <|assistant|>"
    assert stops(template, "query_stop") == (["<|assistant|>", "</s>"], ("/nothink",))


def test_nothing_to_end_a_users_words_is_an_error_that_names_the_key():
    with pytest.raises(ChatTemplateError, match=r"model\.query_stop"):
        chat(formats.loop("{{ m.content + '\\n' }}", before="Talk:")).pre_query()


def test_stops_by_hand_take_the_place_of_those_in_the_template():
    assert stops(formats.CHATML, "query_stop", query_stop=["<|im_start|>", "END"]) == (
        ["<|im_start|>", "<|im_end|>"],  # the last is eos
        ("END",),
    )


@pytest.mark.parametrize(
    ("template", "tokens"),
    [
        (formats.CHATML, ["<|im_end|>"]),
        (formats.LLAMA3, ["<|eot_id|>", "</s>"]),
        (formats.MISTRAL, ["</s>"]),
        (formats.HARMONY, ["<|return|>"]),
        (formats.HARMONY_ENDED, ["<|return|>"]),  # which is eos: `<|end|>` ends thoughts as well
        (formats.GLM, ["<|user|>", "</s>"]),
    ],
)
def test_an_answer_ends_where_the_template_closes_it_or_at_eos(template, tokens):
    assert stops(template, "response_stop") == (tokens, ())


def test_an_answer_in_plain_words_ends_at_the_users_next_heading():
    assert stops(formats.ALPACA, "response_stop") == (["</s>"], ("\n### Instruction:",))


def test_the_ends_that_the_model_folder_knows_of_count_for_users_and_answers():
    read = chat(formats.LLAMA3, generation_eos=[7, 9])
    assert {7, 9} <= set(read.query_stop.token_ids)
    assert {7, 9} <= set(read.response_stop.token_ids)
