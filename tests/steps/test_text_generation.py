"""Text generation: prompts from a template over columns, and the answers to them."""

import pydantic
import pytest

from synth.engines import Sampling
from synth.steps.respond import Respond
from synth.steps.text_generation import TextGeneration
from tests.steps.fakes import FakeEngine, finish


async def ask(record, engine=None, number=0, **keys):
    """The rows of one record, kept and rejected."""
    keys = {"template": "About {{ topic }}"} | keys
    step = TextGeneration(**keys)
    finished = await finish(step, number=number, record=record, engine=engine or FakeEngine(), columns={})
    return finished.kept + finished.rejected


async def test_the_template_is_filled_in_and_asked():
    engine = FakeEngine()
    (row,) = await ask({"topic": "bees", "n": 3}, engine, template="{{ n }} words about {{ topic | upper }}\n")
    assert engine.prompts == ["<user>3 words about BEES<assistant>"]
    assert (row["instruction"], row["response"], row["finish_reason"]) == ("3 words about BEES", "words", "stop")
    assert [turn["content"] for turn in row["messages"]] == ["3 words about BEES", "words"]


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% for x in y %}", "{# no #}", "<|im_end|>"])
async def test_text_in_a_column_is_never_run(text):
    engine = FakeEngine()
    await ask({"topic": text}, engine)
    assert engine.prompts == [f"<user>About {text}<assistant>"]


@pytest.mark.parametrize(
    ("given", "system_prompt", "used"),
    [
        ({}, None, None),
        ({"system_prompt": "from the column"}, None, "from the column"),
        ({"system_prompt": "from the column"}, "", None),
        ({"system_prompt": "from the column"}, "configured", "configured"),
        ({"persona": "a cook"}, "You are {{ persona }}.", "You are a cook."),
        ({"system_prompt": None}, None, None),
    ],
)
async def test_the_system_prompt_comes_from_a_column_a_template_or_the_configuration(given, system_prompt, used):
    engine = FakeEngine()
    (row,) = await ask({"topic": "bees", **given}, engine, system_prompt=system_prompt)
    assert engine.prompts == [f"<system>{used}<user>About bees<assistant>" if used else "<user>About bees<assistant>"]
    assert row["system_prompt"] == used
    assert row["messages"][0]["role"] == ("system" if used else "user")


async def test_samples_are_records_with_paths_and_seeds_of_their_own():
    engine = FakeEngine()
    rows = await ask({"topic": "bees"}, engine, number=17, samples=3)
    assert [row["id"] for row in rows] == ["17/0", "17/1", "17/2"]
    assert len({sampling.seed for sampling in engine.samplings}) == 3
    assert [row["usage"]["completion_tokens"] for row in rows] == [15, 0, 0]


async def test_of_several_samples_an_empty_one_is_rejected_alone():
    answers = iter(["one", " ", ("thr", "length")])
    rows = await ask({"topic": "bees"}, FakeEngine(lambda prompt: next(answers)), samples=3)
    assert [(row["id"], row["response"], row["finish_reason"]) for row in rows] == [
        ("0/0", "one", "stop"),
        ("0/2", "thr", "length"),
        ("0/1", "", "stop"),
    ]
    assert rows[2]["reason"] == "empty_response"


async def test_the_answer_can_become_the_instruction():
    (row,) = await ask({"topic": "bees", "system_prompt": "kind"}, output="instruction")
    assert (row["instruction"], row["response"], row["system_prompt"]) == ("words", None, "kind")
    result = [(one["operation"], one["text"]) for one in row["lineage"]]
    assert result == [("prompt", "About bees"), ("instruction", "words")]


@pytest.mark.parametrize("samples", [1, 2])
async def test_prompt_to_instruction_to_response(samples):
    engine = FakeEngine(lambda prompt: "because" if prompt.endswith("why?<assistant>") else "why?")
    first = TextGeneration(template="About {{ topic }}", output="instruction", samples=samples)
    finished = await finish(first, Respond(), record={"topic": "bees"}, engine=engine, columns={})
    assert [(row["instruction"], row["response"]) for row in finished.kept] == [("why?", "because")] * samples
    assert [one["text"] for one in finished.kept[-1]["lineage"]] == ["About bees", "why?"]


async def test_the_answer_can_have_a_column_of_its_own():
    step = TextGeneration(template="About {{ topic }}", output="essay")
    assert step.columns == {"essay": "string"}
    finished = await finish(step, record={"topic": "bees", "instruction": "as it was"})
    assert '"essay": "words"' in finished.kept[0]["extra"]
    assert finished.kept[0]["instruction"] == "as it was"


@pytest.mark.parametrize("output", ["messages", "id", "usage", "reason"])
def test_a_column_that_is_not_the_steps_to_write_is_refused(output):
    with pytest.raises(pydantic.ValidationError, match="is a column that every dataset has"):
        TextGeneration(template="x", output=output)


@pytest.mark.parametrize(
    ("record", "keys", "reason", "detail"),
    [
        ({"topics": "bees"}, {}, "missing_column", "'topic' is undefined; available: topics"),
        ({"topic": None}, {}, "missing_column", "a column that the template prints is null"),
        ({"topic": "bees"}, {"system_prompt": "{{ who }}"}, "missing_column", "'who' is undefined; available: topic"),
        ({"topic": " "}, {"template": "{{ topic }}"}, "empty_prompt", None),
        ({"topic": "a"}, {"template": "{{ topic + 1 }}"}, "template_failed", None),
        ({"topic": "a"}, {"template": "{{ topic.__class__.__mro__ }}"}, "template_failed", None),
        ({"topic": "a"}, {"template": "{% for i in range(10 ** 9) %}{{ topic }}{% endfor %}"}, "template_failed", None),
        ({"topic": "x" * 2000}, {}, "prompt_too_long", "2023 tokens, the model takes at most 1000"),
    ],
)
async def test_a_row_that_the_template_can_not_use_is_rejected(record, keys, reason, detail):
    (row,) = await ask(record, **keys)
    assert row["reason"] == reason
    assert detail is None or row["detail"] == detail


@pytest.mark.parametrize(
    ("answer", "output", "reason"),
    [
        ("", "response", "empty_response"),
        (" \n", "instruction", "empty_instruction"),
        (("half", "length"), "instruction", "truncated_instruction"),
        (("half", "length"), "system_prompt", "truncated_system_prompt"),
        ("", "essay", "empty_essay"),
    ],
)
async def test_an_answer_that_is_no_use_is_rejected(answer, output, reason):
    (row,) = await ask({"topic": "bees"}, FakeEngine(lambda prompt: answer), output=output)
    assert row["reason"] == reason


@pytest.mark.parametrize("output", ["response", "essay"])
async def test_an_answer_that_was_cut_is_kept_and_says_so(output):
    (row,) = await ask({"topic": "bees"}, FakeEngine(lambda prompt: ("half", "length")), output=output)
    assert row["finish_reason"] == "length"
    assert "reason" not in row


async def test_a_conversation_that_the_row_brought_gives_way_to_the_new_one():
    old = [{"role": "user", "content": "old"}]
    (row,) = await ask({"topic": "bees", "messages": old})
    assert [turn["content"] for turn in row["messages"]] == ["About bees", "words"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ topic", "line 1: unexpected end of template"),
        ("a\n{% if %}", "line 2: Expected an expression"),
        ("{{ topic | uper }}", "line 1: No filter named 'uper'"),
        ("{% include 'other' %}", "line 1: a template can't load others"),
    ],
)
@pytest.mark.parametrize("key", ["template", "system_prompt"])
def test_a_template_that_is_none_is_refused(template, expected, key):
    with pytest.raises(pydantic.ValidationError, match=expected):
        TextGeneration(**{"template": "x", key: template})


def test_needs_are_the_columns_that_the_templates_can_not_do_without():
    template = (
        "{{ b }}{% if c is defined %}{{ c }}{% endif %}{{ d | default('') }}{% for e in range(3) %}{{ e }}{% endfor %}"
    )
    assert TextGeneration(template=template, system_prompt="{{ a.x }}").needs() == [("a",), ("b",)]


def test_calls_tells_a_call_for_each_sample():
    calls = TextGeneration(template="x", samples=3, sampling=Sampling(max_tokens=7)).calls()
    assert [call.max_tokens for call in calls] == [7, 7, 7]


EXAMPLES = [{"topic": "ants", "instruction": "How much can an ant lift?"}]


async def test_examples_are_earlier_turns_of_the_same_template():
    engine = FakeEngine(lambda prompt: "Why do bees hum?")
    (row,) = await ask({"topic": "bees"}, engine, output="instruction", examples=EXAMPLES)
    assert engine.prompts == ["<user>About ants<assistant>How much can an ant lift?<user>About bees<assistant>"]
    assert row["instruction"] == "Why do bees hum?"


@pytest.mark.parametrize("copied", ["How much can an ant lift", "Write a question on it"])
async def test_an_example_and_the_templates_own_words_are_no_instruction(copied):
    keys = {"template": "{{ topic }}\nWrite a question on it.", "output": "instruction", "examples": EXAMPLES}
    (row,) = await ask({"topic": "bees"}, FakeEngine(lambda prompt: copied), **keys)
    assert (row["reason"], row["instruction"]) == ("copies_prompt", copied)


async def test_a_response_may_repeat_its_prompt():
    (row,) = await ask({"topic": "bees"}, FakeEngine(lambda prompt: "About bees"))
    assert row["response"] == "About bees"


@pytest.mark.parametrize(
    ("example", "why"),
    [
        ({"instruction": "Why?"}, r"examples\[0\]: has no 'topic', only instruction"),
        ({"topic": "ants"}, r"examples\[0\]: has no 'instruction', only topic"),
        ({"topic": "ants", "instruction": " "}, r"examples\[0\]: its 'instruction' must be a text"),
    ],
)
def test_an_example_without_a_column_is_refused(example, why):
    with pytest.raises(pydantic.ValidationError, match=why):
        TextGeneration(template="About {{ topic }}", output="instruction", examples=[example])
