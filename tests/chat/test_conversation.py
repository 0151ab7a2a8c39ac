"""Answers: the prompt that asks for one, and the text of what came back."""

import pytest

from synth.chat import ChatTemplateError
from tests.chat import formats
from tests.chat.formats import assistant, chat, system, tokenizer, user


def test_the_demonstration_models_prompt_is_chatml():
    from synth.demo_model.tokenizer import CHAT_TEMPLATE

    made = tokenizer(formats.CHATML)
    prompt = formats.ChatTemplate(made, chat_template=CHAT_TEMPLATE).encode([system("Be kind."), user("Hi")])
    assert made.decode(prompt) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_without_a_generation_prompt_the_conversation_ends_as_it_is():
    read = chat(formats.CHATML)
    prompt = read.encode([user("Hi"), assistant("Yes")], add_generation_prompt=False)
    assert tokenizer(formats.CHATML).decode(prompt).endswith("assistant\nYes<|im_end|>\n")


def test_a_conversation_that_the_template_refuses_is_an_error():
    with pytest.raises(ChatTemplateError, match="must alternate"):
        chat(formats.MISTRAL).encode([user("Hi"), user("Hi")])


def test_decoded_text_has_no_special_tokens_and_nothing_of_what_ended_it():
    made = tokenizer(formats.HARMONY)
    made.add_tokens(["<|stop|>"])
    ids = [*made.encode("<|start|>Hi there<|return|>"), made.convert_tokens_to_ids("<|stop|>")]
    read = formats.ChatTemplate(made, generation_eos=ids[-1:])
    assert read.decode(ids) == "Hi there"


def test_decoded_text_keeps_thinking_marks():
    ids = tokenizer(formats.QWEN3).encode("<think>Hm</think>Yes")
    assert chat(formats.QWEN3).decode(ids) == "<think>Hm</think>Yes"
