"""What a strategy asks of a model's chat template, and what is refused before an engine is loaded."""

import pytest

from synth.configuration.config import ConfigError, parse, refuse_bad_chat_template
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
    with pytest.raises(ConfigError, match=r"^strategy\.magpie: asks without a system prompt, and the chat template of"):
        checked(DEMANDS_SYSTEM, *words, strategy="magpie_math")
