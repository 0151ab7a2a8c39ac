"""model.default_system_prompt: whether instructions are drawn under the system prompt that a template inserts."""

import pytest
from hypothesis import given, settings

from synth.chat import ChatTemplateError
from tests.chat import formats
from tests.chat.drawn_formats import drawn
from tests.chat.formats import assistant, chat, system, tokenizer, user

SPOKEN = [user("Hi"), assistant("Yes")]
UNFINISHED_CHATML = formats.default_system("You are Qwen.") + formats.loop(
    "{{ '<|im_start|>' + m.role + '\\n' + m.content }}{% if not loop.last %}{{ '<|im_end|>\\n' }}{% endif %}",
    prompt="{{ '<|im_end|>\\n<|im_start|>assistant\\n' }}",
)
formats.CONTROLS[UNFINISHED_CHATML] = formats.CONTROLS[formats.CHATML]
FOLDED = formats.default_system("Be safe.") + formats.LLAMA2

# family: a template, its pre-query prompts without the default, for the first turn and after SPOKEN
DROPPED = {
    "Qwen 2.5": (
        formats.QWEN,
        "<|im_start|>user\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>user\n",
    ),
    "Qwen 1.5": (
        UNFINISHED_CHATML,
        "<|im_start|>user\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>user\n",
    ),
    "Llama 3.1": (
        formats.LLAMA31,
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nYes<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
    ),
    "Command R": (
        formats.COMMAND,
        "<s><|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
        "<s><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
        "Yes<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
    ),
    "gpt-oss": (
        formats.HARMONY,
        "<|start|>user<|message|>",
        "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>final<|message|>Yes<|end|>"
        "<|start|>user<|message|>",
    ),
    "Llama 2": (FOLDED, "<s>[INST] ", "<s>[INST] Hi [/INST] Yes </s><s>[INST] "),
    "Vicuna": (formats.VICUNA, "<s>USER: ", "<s>USER: Hi ASSISTANT: Yes</s>USER: "),
    "Alpaca": (
        formats.ALPACA,
        "### Instruction:\n",
        "### Instruction:\nHi\n\n### Response:\nYes\n\n### Instruction:\n",
    ),
}


@pytest.mark.parametrize("family", DROPPED)
def test_drop_leaves_the_lead_and_the_users_heading_of_the_first_turn(family):
    template, first, _ = DROPPED[family]
    assert tokenizer(template).decode(chat(template, default_system_prompt="drop").pre_query()) == first


@pytest.mark.parametrize("family", DROPPED)
def test_drop_takes_the_default_out_of_later_turns_too(family):
    template, _, later = DROPPED[family]
    assert tokenizer(template).decode(chat(template, default_system_prompt="drop").pre_query(SPOKEN)) == later


@pytest.mark.parametrize("family", DROPPED)
def test_keep_leaves_the_default_where_it_is(family):
    template, first, _ = DROPPED[family]
    kept = tokenizer(template).decode(chat(template).pre_query())
    assert kept != first
    assert kept == tokenizer(template).decode(chat(template).encode([user("Hi")])).partition("Hi")[0]


@pytest.mark.parametrize(
    "template",
    [formats.CHATML, formats.LLAMA3, formats.GEMMA3, formats.MISTRAL, formats.GLM, formats.DEEPSEEK],
)
def test_drop_changes_nothing_where_there_is_no_default(template):
    dropping = chat(template, default_system_prompt="drop")
    assert dropping.pre_query() == chat(template).pre_query()
    assert dropping.pre_query(SPOKEN) == chat(template).pre_query(SPOKEN)


@pytest.mark.parametrize("template", [formats.QWEN, formats.LLAMA31])
def test_a_system_prompt_of_ones_own_is_the_templates_affair(template):
    asked = [system("Be kind."), *SPOKEN]
    assert chat(template, default_system_prompt="drop").pre_query(asked) == chat(template).pre_query(asked)


def test_answers_are_asked_for_as_the_template_has_it_in_either_case():
    asked = [user("Hi")]
    assert chat(formats.QWEN, default_system_prompt="drop").encode(asked) == chat(formats.QWEN).encode(asked)


def test_a_default_that_moves_from_turn_to_turn_is_an_error_that_names_the_key():
    moving = formats.loop(
        "{% if m.role == 'user' %}{{ '[Q]' + ('Be safe. ' if loop.last else '') + m.content + '[A]' }}"
        "{% else %}{{ m.content + eos_token }}{% endif %}"
    )
    chat(moving)
    with pytest.raises(ChatTemplateError, match=r"model\.default_system_prompt=keep"):
        chat(moving, default_system_prompt="drop").pre_query()


def test_drop_leaves_a_pre_query_by_hand_alone():
    headless = formats.loop("{{ m.content + eos_token }}")
    for template in (headless, formats.QWEN):
        read = chat(template, pre_query="Q: ", default_system_prompt="drop")
        assert tokenizer(template).decode(read.pre_query()) == "Q: "


# Of Nemotron's kind: one token opens the headings of the user and of the answer, and follows the user's words.
TOKEN_OPENS_BOTH = formats.loop(
    "{% if m.role == 'user' %}{{ '<X>User\\n' + m.content + '\\n' }}"
    "{% else %}{{ '<X>Assistant\\n' + m.content + END }}{% endif %}",
    "{{ '<S>System\\n' }}{% if messages[0].role == 'system' %}{{ messages[0].content }}"
    "{% set messages = messages[1:] %}{% endif %}{{ '\\n\\n' }}",
    "{{ '<X>Assistant\\n' }}",
)


@pytest.mark.parametrize("end", ["\\n", "\\n<E>\\n\\n", "</s>"])
def test_a_token_that_opens_the_users_heading_stays_though_it_follows_the_users_words(end):
    template = TOKEN_OPENS_BOTH.replace("END", repr(end).replace("\\\\", "\\"))
    formats.CONTROLS[template] = "<S> <X> <E>"
    read = chat(template, default_system_prompt="drop")
    assert tokenizer(template).decode(read.pre_query()) == "<X>User\n"


@settings(max_examples=150, deadline=None)
@given(drawn())
def test_drop_is_right_or_refused_whatever_the_headings_are(drawn_format):
    template = drawn_format.template
    try:
        start = chat(template, default_system_prompt="drop").pre_query()
    except ChatTemplateError as error:
        assert "model.default_system_prompt=keep" in str(error)
    else:
        assert tokenizer(template).decode(start) == drawn_format.lead + drawn_format.heading
