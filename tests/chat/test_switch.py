"""How a template has a model think, or not, whatever the switch is called."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.chat import ChatTemplateError
from tests.chat import formats
from tests.chat.families import FAMILIES
from tests.chat.formats import chat, system, tokenizer, user

ASKED = [user("Hi")]
SWITCHED = ("DeepSeek V3.1", "GLM 4.5", "SmolLM3", "Gemma 4", "Kimi K3", "Nemotron", "Hunyuan")


def known(template, controls="<|im_start|> <|im_end|>"):
    formats.CONTROLS[template], formats.EOS[template] = controls, "<|im_end|>"
    return template


def written(template, messages=ASKED, **options):
    thinking = options.pop("thinking")
    return tokenizer(template).decode(chat(template, **options).encode(messages, thinking=thinking))


@pytest.mark.parametrize("family", SWITCHED)
def test_off_closes_the_thoughts_and_on_leaves_them_open(family):
    read = chat(FAMILIES[family].template)
    assert read.thinks(read.encode(ASKED, thinking="off")) is None
    assert read.thinks(read.encode(ASKED, thinking="on")) is not None


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_a_calls_way_to_think_goes_before_the_models_variables(thinking):
    template = FAMILIES["GLM 4.5"].template
    for given_before in (True, False):
        kwargs = {"enable_thinking": given_before}
        assert written(template, template_kwargs=kwargs, thinking=thinking) == written(template, thinking=thinking)


def test_a_word_in_the_system_prompt_is_a_switch_too():
    template = FAMILIES["Nemotron"].template
    for messages in (ASKED, [system("Be kind."), *ASKED]):
        said = written(template, messages, thinking="off")
        assert said.endswith("<think>\n\n</think>\n\n") and "/no_think" not in said
        assert ("Be kind." in said) == (len(messages) == 2)


EFFORT = known(
    "{{ '<|im_start|>system\\nReasoning: ' + (reasoning_effort | default('medium')) + '<|im_end|>' }}"
    + formats.CHATML.replace("assistant\\n'", "assistant\\n<think>\\n'")
)


def test_levels_are_ways_to_think_and_there_is_no_off_where_no_prompt_closes_the_thoughts():
    assert "Reasoning: high" in written(EFFORT, thinking="high")
    assert written(EFFORT, thinking="on") == written(EFFORT, thinking=None)
    with pytest.raises(ChatTemplateError, match=r"cannot switch thinking off; it has medium, low, high, on$"):
        chat(EFFORT).encode(ASKED, thinking="off")
    with pytest.raises(ChatTemplateError, match="no mode of thinking 'hihg'"):
        chat(EFFORT).check_thinking("hihg")


def test_a_level_called_none_is_off():
    template = known(
        "{% if effort_of_reasoning == 'none' %}{{ '<|im_start|>system\\nquick<|im_end|>' }}"
        "{% elif effort_of_reasoning == 'deep' %}{{ '<|im_start|>system\\ndeep<|im_end|>' }}{% endif %}"
        + formats.CHATML
    )
    assert "quick" in written(template, thinking="off") and "deep" in written(template, thinking="deep")


def test_on_is_a_level_where_the_template_has_it_off_without_more():
    settings = "{{ '<|im_start|>settings\\n' + reasoning_effort | default('none') + '<|im_end|>' }}"
    template = known(settings + "{% if reasoning_effort == 'high' %}{% endif %}" + formats.CHATML)
    assert "high" in written(template, thinking="high") and "none" in written(template, thinking="off")
    assert "none" in written(template, thinking=None) and "none" not in written(template, thinking="on")


def test_a_variable_that_changes_the_prompt_is_taken_at_its_word():
    template = known("{% if thinking %}{{ '<|im_start|>system\\nThink.<|im_end|>' }}{% endif %}" + formats.CHATML)
    assert "Think." in written(template, thinking="on") and "Think." not in written(template, thinking="off")
    denied = known(template.replace("if thinking", "if not disable_thoughts"))
    assert "Think." in written(denied, thinking="on") and "Think." not in written(denied, thinking="off")


def test_variables_of_other_things_are_no_switch():
    template = known("{{ date_string }}{% if keep_thinking %}{% endif %}" + formats.CHATML)
    with pytest.raises(ChatTemplateError, match="thinking=off"):
        chat(template).check_thinking("off")


@settings(max_examples=100, deadline=None)
@given(
    name=st.from_regex(r"[a-z]{2,8}_[a-z]{2,8}", fullmatch=True),
    off=st.sampled_from([False, True, "none", "fast", 0]),
    pair=st.sampled_from([("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|ponder|>", "<|done|>")]),
    opens=st.booleans(),
)
def test_a_switch_that_closes_the_thoughts_is_found_whatever_its_name_and_its_marks_are(name, off, pair, opens):
    start, end = pair
    rest = f"{{{{ '{start}\\n' }}}}" if opens else ""
    prompt = (
        f"{{{{ '<|im_start|>assistant\\n' }}}}{{% if v_{name} is defined and v_{name} == {off!r} %}}"
        f"{{{{ '{start}\\n\\n{end}\\n\\n' }}}}{{% else %}}{rest}{{% endif %}}"
    )
    template = known(formats.loop(formats.CHATML_TURN, prompt=prompt), f"<|im_start|> <|im_end|> {start} {end}")
    read = chat(template)
    prompts = {way: tokenizer(template).decode(read.encode(ASKED, thinking=way)) for way in ("on", "off")}
    assert prompts["off"].endswith(f"{start}\n\n{end}\n\n") and not prompts["on"].endswith(f"{end}\n\n")
