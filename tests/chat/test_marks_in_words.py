"""Models whose thoughts are marked in words of their own, or in channels and parts of another kind."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from synth.chat import ChatTemplateError
from tests.chat import formats
from tests.chat.formats import chat, default_system, loop, tokenizer, user

ASKED = [user("Hi")]
TURN = "{{ '<|' + m.role + '|>\\n' + m.content + '\\n<|end|>\\n' }}"


def known(template, controls="<|system|> <|user|> <|assistant|> <|end|>"):
    formats.CONTROLS[template] = controls
    return template


# As Apriel has it, whose generation prompt begins the thoughts, and whose system prompt says how they end.
TOLD = "You are thoughtful. Explain your thought process, then answer: [BEGIN FINAL RESPONSE] ... [END FINAL RESPONSE]."
FOLDED = (
    "{{ '<|system|>\\n" + TOLD + "' }}{% if messages[0].role == 'system' %}{{ messages[0].content }}"
    "{% set messages = messages[1:] %}{% endif %}{{ '\\n<|end|>\\n' }}"
)
BEGUN = known(FOLDED + loop(TURN, prompt="{{ '<|assistant|>\\nHere are my reasoning steps:\\n' }}"))
UNBEGUN = known(FOLDED + loop(TURN, prompt="{{ '<|assistant|>\\n' }}"))
REPLACED = known(default_system(TOLD) + loop(TURN, prompt="{{ '<|assistant|>\\n' }}"))
# As Marco-o1 and Granite 3.2 have it.
TAGGED = known(
    default_system("Your thoughts are to be within <Thought>, and your results within <Output>.")
    + loop(TURN, prompt="{{ '<|assistant|>\\n' }}")
)
QUOTED = known(
    "{% if thinking %}{{ '<|system|>\\nWrite your thoughts after \\'Here is my thought process:\\' and write your "
    "response after \\'Here is my response:\\' for each query.<|end|>\\n' }}{% endif %}"
    + loop(TURN, prompt="{{ '<|assistant|>\\n' }}")
)


def said(words, template, thinking=None, **options):
    read = chat(template, **options)
    ids = tokenizer(template).encode(words, add_special_tokens=False)
    return read.answer(read.encode(ASKED, thinking=thinking), ids)


@pytest.mark.parametrize(
    ("template", "words", "thoughts", "answer"),
    [
        (BEGUN, "Hm\n[BEGIN FINAL RESPONSE]\nYes\n[END FINAL RESPONSE]", "Hm", "Yes"),
        (BEGUN, "Hm, and so", "Hm, and so", ""),
        (UNBEGUN, "Hm\n[BEGIN FINAL RESPONSE]\nYes\n[END FINAL RESPONSE]\n", "Hm", "Yes"),
        (UNBEGUN, "Hm, and so", "Hm, and so", ""),
        (TAGGED, "<Thought>\nHm\n</Thought>\n<Output>\nYes\n</Output>", "Hm", "Yes"),
        (TAGGED, "<Thought>Hm, and so", "Hm, and so", ""),
        (TAGGED, "Yes", None, "Yes"),
        (QUOTED, "Here is my thought process:\nHm\n\nHere is my response:\nYes", "Hm", "Yes"),
        (QUOTED, "Here is my thought process: Hm, and", "Hm, and", ""),
        (QUOTED, "Yes", None, "Yes"),
    ],
)
def test_marks_that_the_template_tells_the_model_are_found(template, words, thoughts, answer):
    assert said(words, template) == (thoughts, answer)


def test_a_prompt_that_tells_of_them_is_the_switch_on():
    read = chat(QUOTED)
    assert "thought process" in read.spelled(read.encode(ASKED, thinking="on"))
    assert "thought process" not in read.spelled(read.encode(ASKED, thinking="off"))


@pytest.mark.parametrize("template", [BEGUN, UNBEGUN, TAGGED])
def test_a_model_that_is_told_so_thinks_and_can_not_be_kept_from_it(template):
    read = chat(template)
    assert read.thinks(read.encode(ASKED, thinking="on")) is not None
    with pytest.raises(ChatTemplateError, match="thinking=off"):
        read.check_thinking("off")


def test_thoughts_are_closed_in_the_models_own_words():
    read = chat(BEGUN)
    prompt = read.encode(ASKED)
    result = read.spelled(read.after_thoughts(prompt, "Hm")[len(prompt) :])
    assert result == "Hm\n[BEGIN FINAL RESPONSE]\n\n"


def test_marks_of_a_system_prompt_that_may_be_replaced_do_not_make_an_answer_a_thought():
    assert said("Yes", REPLACED) == (None, "Yes")


@pytest.mark.parametrize(
    "expected",
    [
        "Think [A] first, then give a result.",
        "<reasoning_effort>high</reasoning_effort>",
        "Reason about what tools give you within <tool_output></tool_output> or <result>.",
        "You are thoughtful. Give answers such as <answer>4</answer>.",
    ],
)
def test_other_words_are_no_marks(expected):
    template = known(default_system(expected) + loop(TURN))
    assert said("<think>Hm</think>Yes", template) == ("Hm", "Yes")
    assert said("Yes", template) == (None, "Yes")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["<Reflection>", "<my thoughts>", "<analysis>", "[REASONING]"]),
    st.sampled_from(["", "<Final Answer>", "<Reply>"]),
    st.sampled_from(["Put it into {start} ... {end}, the rest into {answer}.", "{start}...{end}, then {answer}!"]),
    st.text("abc de.", min_size=1),
    st.text("xyz .", min_size=1),
)
def test_marks_are_found_whatever_they_are_called(start, around, told, thoughts, answer):
    end = start[:1] + "/" + start[1:]
    template = known(default_system(told.format(start=start, end=end, answer=around or "words")) + loop(TURN))
    written = f"{around}{answer.strip()}</{around[1:]}" if around else answer
    assert said(f"{start}{thoughts}{end}\n{written}", template) == (thoughts.strip(), answer.strip())


# As Muse Glimmer has it: to whom a message goes tells thoughts from an answer.
ADDRESSED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.reasoning_content %}"
    "{{ '<|start|>assistant to=self<|message|>' + m.reasoning_content + '<|eom|>' }}{% endif %}"
    "{{ '<|start|>assistant to=user<|message|>' + m.content + '<|eot|>' }}"
    "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|eot|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
known(ADDRESSED, "<|start|> <|message|> <|eom|> <|eot|>")
HIDDEN = known(ADDRESSED.replace("m.reasoning_content %}", "false %}"), "<|start|> <|message|> <|eom|> <|eot|>")


@pytest.mark.parametrize("template", [ADDRESSED, HIDDEN])
@pytest.mark.parametrize(
    ("words", "thoughts", "answer"),
    [
        (" to=self<|message|>Hm<|eom|><|start|>assistant to=user<|message|>Yes", "Hm", "Yes"),
        (" to=user<|message|>Yes", None, "Yes"),
        (" to=self<|message|>Hm, and", "Hm, and", ""),
        (" to=tool.search<|message|>{}", "{}", ""),
    ],
)
def test_an_answer_is_what_is_addressed_to_the_user(words, thoughts, answer, template):
    assert said(words, template) == (thoughts, answer)


def test_the_end_of_thoughts_does_not_end_the_generation():
    read, made = chat(ADDRESSED), tokenizer(ADDRESSED)
    ends = [made.convert_ids_to_tokens(id) for id in read.response_stop.token_ids]
    assert "<|eot|>" in ends and not {"<|eom|>", "<|start|>"} & set(ends)
    assert made.convert_tokens_to_ids("<|eom|>") in read.thinks(read.encode(ASKED)).token_ids


# As Apertus has it: thoughts are parts of the content, and a switch tells of them in words.
PARTS = (
    "{{ '<|system|>\\nDeliberation: ' + ('enabled' if enable_thinking else 'disabled') + '<|end|>' }}"
    "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.content is mapping and 'blocks' in m.content %}"
    "{% for block in m.content.blocks %}{% if block.type == 'thoughts' %}{{ '<|inner_prefix|>' + block.text }}"
    "{% elif block.type == 'response' %}{{ '<|inner_suffix|>' + block.text }}{% endif %}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
INNER = "<|system|> <|user|> <|assistant|> <|end|> <|inner_prefix|> <|inner_suffix|>"
known(PARTS, INNER)
SILENT = known(PARTS.replace("'blocks' in m.content", "false"), INNER)


def test_thoughts_in_parts_of_the_content_show_how_they_are_marked():
    assert said("<|inner_prefix|>Hm<|inner_suffix|>Yes", PARTS, thinking="on") == ("Hm", "Yes")
    read = chat(PARTS)
    assert "enabled" in read.spelled(read.encode(ASKED, thinking="on"))
    assert "disabled" in read.spelled(read.encode(ASKED, thinking="off"))


def test_where_nothing_shows_the_marks_it_is_said_that_they_are_needed():
    made = tokenizer(SILENT)
    read = formats.ChatTemplate(without_think(made))
    read.check_thinking("off")
    with pytest.raises(ChatTemplateError, match=r"thinking=on: .* set model\.reasoning_tags="):
        read.check_thinking("on")
    with pytest.raises(ChatTemplateError, match=r"set model\.reasoning_tags="):
        formats.ChatTemplate(without_think(made), template_kwargs={"enable_thinking": True})
    tags = ("<|inner_prefix|>", "<|inner_suffix|>")
    formats.ChatTemplate(without_think(made), reasoning=tags, template_kwargs={"enable_thinking": True})
    formats.ChatTemplate(without_think(made), reasoning=None, template_kwargs={"enable_thinking": True})


def without_think(made):
    """The tokenizer without `<think>` and `</think>`."""
    held = json.loads(made.backend_tokenizer.to_str())
    held["added_tokens"] = [one for one in held["added_tokens"] if "think>" not in one["content"]]
    bare = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(held)), bos_token="<s>", eos_token="</s>"
    )
    bare.chat_template = made.chat_template
    return bare
