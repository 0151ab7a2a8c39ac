"""Lists as models write them: whatever the marks are, the same items come out, and none of an item's own words go."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.steps.item_list import items

# A list as a function of its items; `N` is an item's number, from 1.
LINES = {
    "1. x": "{N}. {x}",
    "1) x": "{N}) {x}",
    "1.) x": "{N}.) {x}",
    "(1) x": "({N}) {x}",
    "(1)x": "({N}){x}",
    "[1] x": "[{N}] {x}",
    "1.x": "{N}.{x}",
    "1: x": "{N}: {x}",
    "1 - x": "{N} - {x}",
    "1- x": "{N}- {x}",
    "01. x": "{N:02d}. {x}",
    "1\\. x": "{N}\\. {x}",
    "#1 x": "#{N} {x}",
    "#1: x": "#{N}: {x}",
    "1、x": "{N}、{x}",
    "1．x": "{N}．{x}",
    "（1）x": "（{N}）{x}",
    "①x": "{circled}{x}",
    "① x": "{circled} {x}",
    "1️⃣ x": "{N}\ufe0f\u20e3 {x}",
    "一、x": "{chinese}、{x}",
    "Q1: x": "Q{N}: {x}",
    "Q1. x": "Q{N}. {x}",
    "Task 1: x": "Task {N}: {x}",
    "Task #1 - x": "Task #{N} - {x}",
    "Question No. 1: x": "Question No. {N}: {x}",
    "User query 1: x": "User query {N}: {x}",
    "Aufgabe 1: x": "Aufgabe {N}: {x}",
    "问题1：x": "问题{N}：{x}",
    "a) x": "{letter}) {x}",
    "A. x": "{LETTER}. {x}",
    "ii. x": "{roman}. {x}",
    "- x": "- {x}",
    "* x": "* {x}",
    "•x": "•{x}",
    "- [ ] x": "- [ ] {x}",
    "- 1. x": "- {N}. {x}",
    "* **1.** x": "* **{N}.** {x}",
    "> 1. x": "> {N}. {x}",
    "indented": "    {N}. {x}",
    "an empty line between": "{N}. {x}\n",
    "a rule between": "{N}. {x}\n\n---\n",
    "1. 1. 1.": "1. {x}",
    "**1.** x": "**{N}.** {x}",
    "**1**. x": "**{N}**. {x}",
    "**Task 1:** x": "**Task {N}:** {x}",
    "Task 1, x": "Task {N}\n{x}\n",
    "**Task 1**, x": "**Task {N}**\n{x}\n",
    "## Query 1, x": "## Query {N}\n\n{x}\n",
    "### Task 1: title, x": "### Task {N}: A title\n{x}\n",
    "**1. title**, x": "**{N}. A title**\n{x}\n",
    "1. **title**, x": "{N}. **A title**\n   {x}",
    "1. **title**: x": "{N}. **A title**: {x}",
    "1. **title:** x": "{N}. **A title:** {x}",
    "- **title** - x": "- **A title** - {x}",
    "**title:** x": "**A title:** {x}",
    "**title**, x": "**A title**\n{x}\n",
    "### title, x": "### A title\n{x}\n",
    '1. "x"': '{N}. "{x}"',
    "1. “x”": "{N}. “{x}”",
    "Query: x": "Query: {x}",
    "- Query: x": "- Query: {x}",
    "1. Query: x": "{N}. Query: {x}",
    "a line each": "{x}",
    "<li>x</li>": "<li>{x}</li>",
}
JSON = {
    "a list": lambda found: json.dumps(found, ensure_ascii=False, indent=2),
    "a list with a comma too many": lambda found: json.dumps(found, indent=1)[:-1] + ",\n]",
    "an object": lambda found: json.dumps({"queries": found}),
    "objects": lambda found: json.dumps([{"id": at, "query": one} for at, one in enumerate(found)]),
    "an object a line": lambda found: "\n".join(json.dumps({"task": one}) for one in found),
    "numbered": lambda found: json.dumps({str(at): one for at, one in enumerate(found, 1)}),
    "Python": lambda found: "[" + ", ".join(f"'{one}'" for one in found) + "]",
}
AROUND = {
    "nothing": "{list}",
    "an announcement": "Sure! Here are some tasks:\n\n{list}",
    "an announcement without a colon": "Certainly! Here is a list of queries for your application.\n\n{list}",
    "a closing remark": "{list}\n\nLet me know if you need more!",
    "both": "Here you are:\n{list}\nI hope this helps.",
    "a fence": "```\n{list}\n```",
    "an announced fence": "Here are the queries:\n\n```text\n{list}\n```\n\nFeel free to ask for more.",
}

VERBS = "Name Explain Compare Write Translate Sort Summarize Ask".split()
WORDS = "a river the old poem of two and three cats, Why not now? It's: (or) Anna's x² für 水".split()
# What looks like a mark, or like the end of an item, and is neither where it stands.
ODD = [
    "in 2024. Then",
    "3.5 times",
    "a) red b) blue",
    "`x[1]`",
    "**bold** and",
    "*soft*",
    "(2) beside",
    "no. 7,",
    "C# or C++",
    "- a dash -",
    "[0, 1]",
    "at 10:30",
    "#5 of",
    "Q9 and",
    "1-bit",
]


@st.composite
def texts(draw, odd=tuple(ODD)):
    words = draw(st.lists(st.sampled_from([*WORDS, *odd]), min_size=1, max_size=8))
    return " ".join([draw(st.sampled_from(VERBS)), *words, draw(st.sampled_from(["done.", "so?", "now!", "thing"]))])


def listed(line, found):
    return "\n".join(
        line.format(
            x=one,
            N=at,
            circled="①②③④⑤⑥⑦⑧⑨"[at - 1],
            chinese="一二三四五六七八九"[at - 1],
            letter="abcdefghi"[at - 1],
            LETTER="ABCDEFGHI"[at - 1],
            roman="i ii iii iv v vi vii viii ix".split()[at - 1],
        )
        for at, one in enumerate(found, 1)
    )


@pytest.mark.parametrize("name", LINES)
@given(found=st.lists(texts(), min_size=2, max_size=9, unique=True), around=st.sampled_from(list(AROUND.values())))
@settings(max_examples=8, deadline=None)
def test_every_kind_of_mark_is_stripped_and_nothing_else(name, found, around):
    assert items(around.format(list=listed(LINES[name], found))) == found


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("around", ["{list}", "```json\n{list}\n```", "Here you are:\n\n```\n{list}\n```\nEnjoy!"])
@given(found=st.lists(texts(), min_size=2, max_size=9, unique=True))
@settings(max_examples=8, deadline=None)
def test_json_is_a_list_too(name, around, found):
    assert items(around.replace("{list}", JSON[name](found))) == found


@pytest.mark.parametrize("line", ["{N}. {x}", "{N}) {x}", "({N}) {x}", "Q{N}: {x}", "• {x}"])
@pytest.mark.parametrize("before", ["", "Here are some: "])
@given(found=st.lists(texts(odd=()).map(lambda text: f"{text}?"), min_size=2, max_size=6, unique=True))
@settings(max_examples=8, deadline=None)
def test_a_list_may_be_in_one_line(line, before, found):
    if not (before and line.startswith("•")):
        assert items(before + listed(line, found).replace("\n", " ")) == found


@given(found=st.lists(texts(), min_size=1, max_size=5), line=st.sampled_from(["{N}. {x}", "- {x}", "Q{N}: {x}", "{x}"]))
@settings(max_examples=50, deadline=None)
def test_a_cut_list_loses_its_last_item_and_no_other(found, line):
    whole = listed(line, [*found, "Name the last"])
    assert items(whole, cut=True) == found


@given(found=st.lists(texts(), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_cut_json_list_keeps_what_is_whole(found):
    assert items(json.dumps([*found, "Name the last"])[:-6], cut=True) == found
    assert items(json.dumps({"tasks": [*found, "Name the last"]})[:-6], cut=True) == found


@pytest.mark.parametrize(
    "text",
    [
        "2024. What a year was that?",
        "What is a) b in prose?",
        "1-bit models: what are they?",
        "[1] + [2] in Python gives what?",
        "**Explain** this *word*.",
        "World War 1: why did it begin?",
        "Sort [3, 1, 2] and say why.",
        "A. Lincoln was who?",
        "Is 5. a number?",
        "Fix this - or say why not.",
        "Here is a riddle that nobody solves.",
        "Note: I like cats. Name ten.",
    ],
)
def test_what_only_looks_like_a_mark_stays(text):
    assert items(text) == [text]


@pytest.mark.parametrize("mark", ["{N}. {x}", "- {x}", "Task {N}: {x}"])
def test_code_in_an_item_keeps_its_lines_and_its_brackets(mark):
    code = "Explain this code:\n```python\n# 2. a comment\nx = [1]\n\n- x[0]\n```"
    assert items(listed(mark, ["Name a tree.", code, "Sing."])) == ["Name a tree.", code, "Sing."]


def test_lists_within_an_item_are_the_items_own():
    text = "1. Choose:\n   a) red\n   b) blue\n2. Do this:\n   1. Sing.\n   2. Dance.\n"
    text += "3. Name\n- a tree\n- a bird\n4. End."
    found = ["Choose: a) red b) blue", "Do this: 1. Sing. 2. Dance.", "Name - a tree - a bird", "End."]
    assert items(text) == found


def test_a_text_below_its_instruction_belongs_to_it():
    text = "1. Name a tree.\n2. Summarize the text:\n\nTrees are tall. They are old."
    assert items(text) == ["Name a tree.", "Summarize the text: Trees are tall. They are old."]


def test_headings_between_items_are_no_items():
    assert items("## Trees\n1. Name a tree.\n\n## Songs\n2. Sing a song.") == ["Name a tree.", "Sing a song."]


@pytest.mark.parametrize("end", ["These tasks vary in form.", "Ces questions sont variées.", "(Note: all are new.)"])
def test_a_paragraph_after_the_last_item_is_no_item(end):
    assert items(f"1. Name a tree.\n2. Sing a song.\n\n{end}") == ["Name a tree.", "Sing a song."]


@pytest.mark.parametrize(
    "last",
    [
        "If you have a question about bees, who do you ask?",
        "I hope it rains. Write a poem.",
        "Let me know the capital of France.",
        "These tasks: sort them.",
        "Feel free or not: what is freedom?",
    ],
)
def test_a_last_query_that_begins_like_a_closing_remark_stays(last):
    assert items(f"Name a tree.\n{last}") == ["Name a tree.", last]
    assert items(f"1. Name a tree.\n2. {last}") == ["Name a tree.", last]


@pytest.mark.parametrize(
    "last", ["Would you like more?", "Is there anything else?", "Happy to provide more.", "These queries cover it all."]
)
def test_an_offer_after_lines_without_marks_is_no_item(last):
    assert items(f"Name a tree.\nSing a song.\n{last}") == ["Name a tree.", "Sing a song."]


def test_a_single_bullet_under_a_title_is_the_item():
    assert items("1. **Tree**:\n   - Name a tree.\n2. **Song**:\n   - Sing.") == ["Name a tree.", "Sing."]


@pytest.mark.parametrize("part", ["Task 1", "1. a. ", "[", "---\n", "a) b\n", "1. a\n\nb\n\n", "Input:\n", " "])
def test_a_long_text_of_half_marks_is_read_in_no_time(part):
    assert isinstance(items(part * (20_000 // len(part)) + "x"), list)
    assert isinstance(items("Task 1" + part * (20_000 // len(part)) + "x"), list)
