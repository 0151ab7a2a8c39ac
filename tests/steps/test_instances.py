"""Inputs and outputs under labels, however a model writes the labels."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.steps.instances import Instance, input_first, output_first

# One pair as a function of its input and output; `N` is its number, from 1.
FORMS = {
    "plain": "Input: {i}\nOutput: {o}\n",
    "close together": "Input: {i}\nOutput: {o}",
    "bold": "**Input:** {i}\n**Output:** {o}\n",
    "bold, the colon outside": "**Input**: {i}\n**Output**: {o}\n",
    "bold lines": "**Input: {i}**\n**Output: {o}**\n",
    "italics": "*Input:* {i}\n*Output:* {o}\n",
    "headings": "### Input:\n{i}\n\n### Output:\n{o}\n",
    "headings without a colon": "### Input\n{i}\n\n### Output\n{o}\n",
    "lines of their own": "Input:\n{i}\n\nOutput:\n{o}\n",
    "words alone": "Input\n{i}\nOutput\n{o}\n",
    "a list": "- Input: {i}\n- Output: {o}\n",
    "a bold list": "* **Input:** {i}\n* **Output:** {o}\n",
    "a numbered list": "{N}. Input: {i}\n   Output: {o}",
    "numbers above": "{N}.\nInput: {i}\nOutput: {o}\n",
    "numbered labels": "Input {N}: {i}\nOutput {N}: {o}\n",
    "expected": "Input: {i}\nExpected output: {o}\n",
    "sample": "Sample Input:\n{i}\n\nSample Output:\n{o}\n",
    "brackets": "[Input]: {i}\n[Output]: {o}\n",
    "capitals": "INPUT: {i}\nOUTPUT: {o}\n",
    "full width": "Input：{i}\nOutput：{o}\n",
    "with a language": "Input (English): {i}\nOutput (French): {o}\n",
    "fences": "Input:\n```\n{i}\n```\nOutput:\n```\n{o}\n```\n",
    "examples": "Example {N}\nInput: {i}\nOutput: {o}\n",
    "bold examples": "**Example {N}**\nInput: {i}\nOutput: {o}\n",
    "bold examples with a colon": "**Example {N}:**\n\n*Input:* {i}\n*Output:* {o}\n",
    "example headings": "### Example {N}\n\n**Input:** {i}\n\n**Output:** {o}\n",
    "example in the line": "Example {N}: Input: {i}\nOutput: {o}\n",
    "rules": "Input: {i}\nOutput: {o}\n\n---\n",
    "announced": "Here is another example:\n\nInput: {i}\nOutput: {o}\n",
    "one line": "Input: {i} Output: {o}\n",
    "answer": "Input: {i}\nAnswer: {o}\n",
}
AROUND = [
    "{}",
    "Here is an example:\n\n{}",
    "Sure! Here are some examples of the task:\n{}",
    "{}\n\nLet me know if you need more examples!",
    "```\n{}\n```",
    "Here is an example:\n```\n{}\n```\nI hope this helps!",
]
WORDS = "the cat sat, Is it 3.5? in 2024. **so** `x[1]` a) b) (none of) Katze: 水 no input x:".split()
line = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(lambda words: "The " + " ".join(words) + ".")
pairs = st.lists(st.tuples(line, line), min_size=1, max_size=4)


def written(form, found):
    return "\n".join(form.format(i=given, o=answer, N=at) for at, (given, answer) in enumerate(found, 1))


@pytest.mark.parametrize("name", FORMS)
@given(found=pairs, around=st.sampled_from(AROUND))
@settings(max_examples=12, deadline=None)
def test_labels_are_found_in_every_form_and_stay_in_none(name, found, around):
    assert input_first(around.format(written(FORMS[name], found))) == [Instance(*pair) for pair in found]


@pytest.mark.parametrize("name", [name for name in FORMS if name not in ("answer", "one line")])
@given(found=pairs, around=st.sampled_from(AROUND))
@settings(max_examples=8, deadline=None)
def test_a_class_label_is_found_before_its_input(name, found, around):
    # The form's two halves with their labels exchanged: what stood behind Input is the class label.
    form = FORMS[name].replace("utput", "*").replace("UTPUT", "*").replace("{i}", "{x}").replace("{o}", "{i}")
    form = form.replace("Input", "Class label").replace("INPUT", "CLASS LABEL").replace("xpected o*", "xpected input")
    form = form.replace("O*", "Input").replace("{x}", "{o}")
    assert output_first(around.format(written(form, found))) == [Instance(*pair) for pair in found]


@pytest.mark.parametrize("name", ["plain", "bold", "headings", "a numbered list", "bold examples"])
@given(found=pairs)
@settings(max_examples=8, deadline=None)
def test_whichever_comes_first_is_the_first_of_its_pair(name, found):
    """Asked for the label first, a model may well give the input first."""
    asked = FORMS[name].replace("Output", "Class label")
    assert output_first(written(asked, found)) == [Instance(*pair) for pair in found]


@pytest.mark.parametrize("shape", ["{}", "```json\n{}\n```", "Here you are:\n{}"])
@given(found=pairs)
@settings(max_examples=8, deadline=None)
def test_json_holds_instances_too(shape, found):
    objects = [{"input": given, "output": answer} for given, answer in found]
    wanted = [Instance(*pair) for pair in found]
    assert input_first(shape.format(json.dumps(objects, indent=1))) == wanted
    assert input_first(shape.format("\n".join(map(json.dumps, objects)))) == wanted
    labelled = [{"Class label": answer, "Input": given} for given, answer in found]
    assert output_first(shape.format(json.dumps({"examples": labelled}))) == wanted


@given(found=st.lists(st.tuples(line, line), min_size=2, max_size=4))
def test_inputs_may_come_before_all_outputs(found):
    inputs = "\n".join(f"Input {at}: {given}" for at, (given, _) in enumerate(found, 1))
    outputs = "\n".join(f"Output {at}: {answer}" for at, (_, answer) in enumerate(found, 1))
    assert input_first(f"{inputs}\n\n{outputs}") == [Instance(*pair) for pair in found]


def test_numbered_inputs_of_one_output_are_one_input():
    assert input_first("Input 1: a\nInput 2: b\nOutput: c") == [Instance("a\nb", "c")]


@pytest.mark.parametrize("said", ["Here is an example:", "Sure! Here's one:", "Sure!"])
@pytest.mark.parametrize("pair", ["Input: a\nOutput: b", "**Input:** a\n**Output:** b", "Input: a Output: b"])
def test_an_announcement_may_stand_before_the_first_label_in_its_line(said, pair):
    assert input_first(f"{said} {pair}") == [Instance("a", "b")]


@pytest.mark.parametrize(
    "output",
    [
        "1. Apples\n2. Pears",
        "Title\n---\nText",
        "First:\n1.\nSecond",
        "x\nExample:\ny",
        "def f():\n    return input()\n\nprint(f())",
        "```python\nprint(1)\n```",
        "So it is.\n\nExplanation: because.",
        "Reasons:\n- Input and output differ.",
    ],
)
def test_what_only_looks_like_a_label_stays_in_the_output(output):
    assert input_first(f"Input: a\nOutput: {output}\n\nInput: b\nOutput: c") == [
        Instance("a", output),
        Instance("b", "c"),
    ]


@pytest.mark.parametrize("nothing", ["(none)", "N/A", "None", "No input needed.", "<noinput>", "...", "-", ""])
def test_an_input_that_says_that_there_is_none_is_empty(nothing):
    assert input_first(f"Input: {nothing}\nOutput: fine") == [Instance("", "fine")]
