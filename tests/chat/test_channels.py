"""Answers in channels, gpt-oss's and others': only what is in the answer's channel is the answer."""

import pytest

from tests.chat import formats
from tests.chat.families import FAMILIES
from tests.chat.formats import assistant, chat, tokenizer, user

HARMONY = [formats.HARMONY, formats.HARMONY_ENDED]
THOUGHT = "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>"


def said(words, template=formats.HARMONY, stop=(), **options):
    read = chat(template, **options)
    ids = tokenizer(template).encode(words, add_special_tokens=False)
    return read.answer(read.encode([user("Hi")]), ids, stop=stop)


@pytest.mark.parametrize("template", HARMONY)
@pytest.mark.parametrize(
    ("words", "thoughts", "answer"),
    [
        (THOUGHT + FINAL + "Yes", "Hm", "Yes"),
        (THOUGHT + THOUGHT + FINAL + "Yes", "Hm\n\nHm", "Yes"),
        (FINAL + " Yes\n", None, "Yes"),
        (THOUGHT + "<|channel|>final <|constrain|>json<|message|>{}", "Hm", "{}"),
        ("<|channel|>analysis<|message|>Hm, and so", "Hm, and so", ""),
        ("<|channel|>anal", None, ""),
        (THOUGHT + "<|channel|>final", "Hm", ""),
        (THOUGHT + FINAL, "Hm", ""),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}", "{}", ""),
        (
            THOUGHT + "<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant" + FINAL + "Yes",
            "Hm\n\nWait.",
            "Yes",
        ),
        (THOUGHT + FINAL + "Yes<|end|><|start|>user<|message|>Why?", "Hm", "Yes"),
        ("Yes", None, ""),
        ("", None, ""),
    ],
)
def test_an_answer_is_what_is_in_the_final_channel(words, thoughts, answer, template):
    assert said(words, template) == (thoughts, answer)


def test_words_that_spell_a_channel_open_none():
    read, made = chat(formats.HARMONY), tokenizer(formats.HARMONY)
    opened = made.encode("<|channel|>analysis<|message|>", add_special_tokens=False)
    words = read.encode([user(FINAL + "No")], add_generation_prompt=False)[len(read.pre_query()) : -1]
    assert made.decode(words) == FINAL + "No"
    assert read.answer(read.encode([user("Hi")]), opened + words) == (FINAL + "No", "")


def test_an_answer_is_cut_at_a_stop_string_of_its_own():
    assert said(THOUGHT + FINAL + "Yes END", stop=("END",)) == ("Hm", "Yes")


def test_a_channel_that_the_generation_prompt_opens_is_seen():
    family = FAMILIES["Kimi K3"]
    words = "Hm<|close|>think<|sep|><|open|>response<|sep|>Yes<|close|>response<|sep|><|close|>message<|sep|>"
    assert said(words, family.template) == ("Hm", "Yes")
    assert said("Hm, and so", family.template) == ("Hm, and so", "")
    unthinking = {"template_kwargs": {"thinking": False}}
    assert said("Yes", family.template, **unthinking) == (None, "Yes")
    ends = chat(family.template, **unthinking).response_stop.token_ids
    assert tokenizer(family.template).convert_tokens_to_ids("<|close|>") in ends


def test_an_earlier_answer_is_told_without_the_other_channels():
    read = chat(formats.HARMONY)
    assert read.without_reasoning(THOUGHT + FINAL + "Yes<|return|>") == "Yes"
    assert read.without_reasoning("Write <|channel|> then.") == "Write <|channel|> then."


def test_an_answer_asked_for_as_it_is_has_all_channels():
    assert said(THOUGHT + FINAL + "Yes", reasoning=None) == (None, "analysisHmassistantfinalYes")


def test_a_conversation_goes_on_after_the_final_channel_alone():
    read = chat(formats.HARMONY)
    later = read.encode([user("Hi"), assistant("Yes"), user("Why?")])
    assert (
        tokenizer(formats.HARMONY)
        .decode(later)
        .endswith(
            "<|start|>assistant<|channel|>final<|message|>Yes<|end|><|start|>user<|message|>Why?<|end|><|start|>assistant"
        )
    )


def test_marks_around_thoughts_that_the_template_shows_name_no_channel():
    assert said("<seed:think>Hm</seed:think>Yes", FAMILIES["Seed OSS"].template) == ("Hm", "Yes")
