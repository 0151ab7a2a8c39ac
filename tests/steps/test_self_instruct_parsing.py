"""Lists, verdicts and instances as models write them, and the paper's filters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.steps.self_instruct_parsing import (
    Instance,
    input_first,
    is_yes,
    items,
    output_first,
    sifted,
    unfit_task,
)


@pytest.mark.parametrize(
    "text",
    [
        "9. Name a tree.\n10. Sing a song.",
        "9) Name a tree.\n\n10) Sing a song.",
        "(1) Name a tree.\n(2) Sing a song.",
        "Sure! Here are two tasks:\n\n1. Name a tree.\n2. Sing a song.",
        "- Name a tree.\n- Sing a song.",
        "* Name a tree.\n• Sing a song.",
        "**1.** Name a tree.\n**2.** Sing a song.",
        "1. **Name a tree.**\n2. **Sing a song.**",
        'Task 1: "Name a tree."\nTask 2: “Sing a song.”',
        "Query 1. Name a tree.\nQuery 2. Sing a song.",
        "Here you are:\nName a tree.\nSing a song.",
        "Name a tree.\nSing a song.\n",
        "  1.  Name a\n     tree.\n  2.  Sing a song.",
        "1. Name\n  - a tree.\n2. Sing\ta song.",
    ],
)
def test_numbers_bullets_and_preambles_are_stripped(text):
    found = items(text)
    assert [item.replace("- ", "") for item in found] == ["Name a tree.", "Sing a song."]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1. Name a tree.\n2. Sing a so", ["Name a tree."]),
        ("1. Name a tree.\n2.", ["Name a tree."]),
        ("1. Name a tr", []),
        ("", []),
    ],
)
def test_a_cut_list_loses_its_last_item(text, kept):
    assert items(text, cut=True) == kept


@pytest.mark.parametrize(
    "text", ["3.5 is a number", "1990 was long ago.", '"Yes" or "no"?', "It's the cat's.", "-5 or 5?"]
)
def test_what_only_looks_like_a_mark_stays(text):
    assert items(text) == [text]


@given(st.text(), st.booleans())
def test_no_text_breaks_the_parsers(text, cut):
    items(text, cut)
    is_yes(text)
    for parse in (input_first, output_first):
        for prefix in ("", "Input: ", "Output: ", "Class label: x\nInput:"):
            sifted(parse(prefix + text, cut))


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("Name three trees", "too_short"),
        ("Name four tall trees.", None),
        ("word " * 150, None),
        ("word " * 151, "too_long"),
        ("Describe the picture in words.", "keyword"),
        ("Tell me to GO TO bed early.", "keyword"),
        ("Plot the curve of this function.", "keyword"),
        ("Summarize the paragraph in one line.", None),
        ("Write a program that adds numbers.", "asks_for_a_program"),
        ("Write a programme for a concert.", "asks_for_a_program"),
        ("(Name) four tall trees.", "first_character"),
        ("Énumère quatre grands arbres.", "first_character"),
    ],
)
def test_tasks_are_filtered_as_in_the_paper(task, reason):
    assert unfit_task(task) == reason


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes", True),
        ("yes.", True),
        (" **No**, it is not", False),
        ("NO", False),
        ("Maybe", None),
        ("Yes or No", None),
        ("No/Yes", None),
        ("Answer: Yes", True),
        ("The answer is no.", False),
        ("No, or not quite", False),
        ("Nothing", None),
        ("", None),
    ],
)
def test_a_verdict_is_yes_or_no_or_neither(text, verdict):
    assert is_yes(text) is verdict


@pytest.mark.parametrize(
    ("text", "instances"),
    [
        ("Input: 2 + 2\nOutput: 4", [Instance("2 + 2", "4")]),
        ("Input: (none)\nOutput: A poem\nof two lines", [Instance("", "A poem\nof two lines")]),
        ("Input: N/A\nOutput: fine", [Instance("", "fine")]),
        ("Output: fine", [Instance("", "fine")]),
        ("Input:\none\ntwo\nOutput:\nthree", [Instance("one\ntwo", "three")]),
        ("Example 1\nInput: a\nOutput: b\n\nExample 2:\nInput: c\nOutput: d", [Instance("a", "b"), Instance("c", "d")]),
        ("Input: a\nOutput: b\n\nInput: c\nOutput: d", [Instance("a", "b"), Instance("c", "d")]),
        ("Input 1: a\nOutput 1: b", [Instance("a", "b")]),
        ("Text: the cat\nOutput: le chat", [Instance("Text: the cat", "le chat")]),
        ("Just words.", []),
        ("Input: a", []),
    ],
)
def test_instances_are_read_input_first(text, instances):
    assert input_first(text) == instances


@pytest.mark.parametrize(
    ("text", "instances"),
    [
        ("Class label: good\nInput: fun", [Instance("fun", "good")]),
        (
            "Class label: good\nInput: fun\n\nClass label: bad\nInput: dull\nand long",
            [Instance("fun", "good"), Instance("dull\nand long", "bad")],
        ),
        ("Class label: good", [Instance("", "good")]),
        ("Class label:\nInput: fun", [Instance("Input: fun", "")]),
        ("Class label: good\nfun", [Instance("fun", "good")]),
        ("good: fun", []),
    ],
)
def test_instances_are_read_output_first(text, instances):
    found = output_first(text)
    assert [one.output for one in found] == [instance.output for instance in instances]
    assert [one.input for one in found if one.output] == [instance.input for instance in instances if instance.output]


def test_a_cut_answer_loses_its_last_instance():
    assert output_first("Class label: a\nInput: x\n\nClass label: b\nInput: y y", cut=True) == [Instance("x", "a")]
    assert input_first("Input: a\nOutput: b b b", cut=True) == []


@pytest.mark.parametrize(
    ("pairs", "reasons"),
    [
        ([("a", "b"), ("c", "d")], [None, None]),
        ([("a", "")], ["empty_output"]),
        ([("a", "a")], ["output_is_input"]),
        ([("a:", "b"), ("c", "d:")], ["ends_with_colon", "ends_with_colon"]),
        ([("a", "b"), ("a", "b")], [None, "repeated_instance"]),
        ([("a", "b"), ("a", "c"), ("d", "e")], ["contradictory_outputs", "contradictory_outputs", None]),
        ([("", "b"), ("", "c")], ["contradictory_outputs", "contradictory_outputs"]),
    ],
)
def test_instances_are_sifted(pairs, reasons):
    assert [one.unfit for one in sifted([Instance(*pair) for pair in pairs])] == reasons
