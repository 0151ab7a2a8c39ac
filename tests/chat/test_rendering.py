"""Chat templates run as transformers runs them, except that every day is the same and contents are escaped."""

import datetime

import jinja2
import pytest

from synth.chat import ChatTemplateError
from tests.chat import formats
from tests.chat.formats import assistant, chat, system, tokenizer, user


def rendered(template: str, *messages: dict[str, str], **options) -> str:
    made = tokenizer(template)
    read = chat(template, pre_query="", query_stop=[], **options)
    return made.decode(read.encode(list(messages) or [user("Hi")]))


ALL = "CHATML QWEN QWEN3 LLAMA3 LLAMA31 GEMMA2 GEMMA3 MISTRAL LLAMA2 PHI3 ZEPHYR DEEPSEEK VICUNA ALPACA COMMAND GLM"
SPOKEN = [user(" Hi\n"), assistant("<think>x</think> Yes "), user("Why?")]


@pytest.mark.parametrize("messages", [SPOKEN[:1], SPOKEN[:2], SPOKEN, [system("Be kind."), *SPOKEN]])
@pytest.mark.parametrize("name", ALL.split())
def test_a_conversation_comes_out_as_transformers_renders_it(name, messages):
    template = getattr(formats, name)
    made = tokenizer(template)
    read = chat(template, template_kwargs={"today": datetime.date.today().isoformat()})
    for prompt in (True, False):
        try:
            expected = made.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        except jinja2.TemplateError:
            with pytest.raises(ChatTemplateError):
                read.encode(messages, prompt)
        else:
            assert made.decode(read.encode(messages, prompt)) == expected


def test_today_is_the_same_in_every_run_and_can_be_set():
    template = "{{ strftime_now('%d %b %Y') }}"
    assert rendered(template) == "26 Jul 2024"
    assert rendered(template, template_kwargs={"today": "2026-01-02"}) == "02 Jan 2026"


def test_generation_blocks_leave_no_trace():
    assert rendered("{% generation %}{{ messages[0].content }}{% endgeneration %}!") == "Hi!"


def test_loop_controls_work():
    assert rendered("{% for m in messages %}{{ m.content }}{% break %}{% endfor %}", user("a"), user("b")) == "a"


def test_template_kwargs_reach_the_template_and_win_over_special_tokens():
    template = "{{ bos_token }} {{ enable_thinking }}"
    assert rendered(template, template_kwargs={"enable_thinking": False, "bos_token": "X"}) == "X False"


@pytest.mark.parametrize(
    "test",
    [
        "'</think>' in m.content",
        "m.content.startswith('<think>')",
        "m.content.endswith('</think>')",
        "m.content.split('</think>') | length == 2",
        "m.content == '<think>a</think>'",
        "m.content.replace('</think>', '') == '<think>a'",
        "m.content | replace('<think>', '') == 'a</think>'",
        "not '</thin k>' in m.content and '<x>' not in m.content and m.content != '<think>'",
    ],
)
def test_a_template_finds_the_marks_that_it_looks_for_in_a_content(test):
    assert rendered("{% set m = messages[0] %}{{ " + test + " }}", user("<think>a</think>")) == "True"


def test_a_refusal_is_one_line_in_the_templates_own_words():
    with pytest.raises(ChatTemplateError, match=r"refuses this conversation: not so$"):
        rendered("{{ raise_exception('not\\nso') }}")


def test_a_template_that_is_no_jinja_is_an_error_with_the_line():
    with pytest.raises(ChatTemplateError, match=r"model\.chat_template: line 2"):
        chat(formats.CHATML, chat_template="a\n{% for %}")


def test_a_template_cannot_reach_python():
    with pytest.raises(ChatTemplateError, match="unsafe"):
        rendered("{{ messages.__class__.__mro__ }}")
