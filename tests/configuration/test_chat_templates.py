"""What a strategy asks of a model's chat template, and what is refused before an engine is loaded."""

import pytest

from synth.configuration.chat_templates import refuse_bad_chat_template
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from tests.configuration.test_config import composed

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
DEMANDS_SYSTEM = "{% if messages[0].role != 'system' %}{{ raise_exception('no system prompt') }}{% endif %}" + CHATML


@pytest.fixture
def checked(tmp_path):
    """Refuses, or not, the demonstration model with a template of the given text."""

    def check(template, *words, strategy="magpie"):
        (tmp_path / "chat.jinja").write_text(template)
        made = composed(f"model.chat_template={tmp_path / 'chat.jinja'}", *words, strategy=strategy, model="demo")
        refuse_bad_chat_template(parse(made))

    return check


def test_a_template_that_demands_a_system_prompt_runs_where_the_strategy_has_one(checked):
    checked(DEMANDS_SYSTEM, "strategy.magpie.keep_system_prompt=true", strategy="magpie_math")


@pytest.mark.parametrize("words", [["strategy.magpie.system_prompts=[]"], ["strategy.magpie.keep_system_prompt=false"]])
def test_elsewhere_it_is_refused_in_one_line(checked, words):
    with pytest.raises(ConfigError, match=r"^strategy\.magpie: has no system prompt, and the chat template of"):
        checked(DEMANDS_SYSTEM, *words, strategy="magpie_math")


SWITCHED = CHATML.replace(
    "assistant\\n' }}",
    "assistant\\n' }}{% if not enable_thinking | default(true) %}{{ '<think>\\n\\n</think>' }}{% endif %}",
)


def test_a_way_to_think_that_the_template_knows_is_taken(checked):
    checked(SWITCHED, "+strategy.magpie.response.thinking={on:0.3,off:0.7}", "strategy.magpie.n_turns=2")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["+strategy.magpie.response.thinking=deep"],
            r"of the model main, thinking=deep: .*; it has off, on$",
        ),
        (["+strategy.magpie.response.thinking={on:1,deep:2}"], "of the model main, thinking=deep: "),
        (["+strategy.magpie.instruction.thinking=on"], "thinking: a user's turn has no reasoning"),
    ],
)
def test_one_that_it_does_not_know_is_refused_before_an_engine_is_loaded(checked, words, expected):
    with pytest.raises(ConfigError, match=rf"^strategy\.magpie: {expected}"):
        checked(SWITCHED, *words)


def test_a_template_without_a_switch_has_no_model_think(checked):
    checked(CHATML, "+strategy.magpie.response.thinking=off")
    with pytest.raises(ConfigError, match="thinking=on: the chat template cannot switch thinking on"):
        checked(CHATML, "+strategy.magpie.response.thinking=on")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("thinking=hihg", "chat APIs have no mode 'hihg'"), ("thinking_tokens=99", "cannot close its reasoning")],
)
def test_what_no_chat_api_does_is_refused(word, expected):
    words = ["engine=openai_chat", "source=file", "source.path=rows.jsonl", f"+strategy.respond.sampling.{word}"]
    with pytest.raises(ConfigError, match=expected):
        parse(composed(*words, strategy="instruct_and_respond", model="demo"))
