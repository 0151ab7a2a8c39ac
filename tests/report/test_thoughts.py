"""Thoughts and tool calls that a dataset has in its messages are shown beside the answers that they led to."""

import io

from rich.console import Console

from synth.records import CONTRACT_COLUMNS
from synth.report.browser_rows import shown_row
from synth.report.samples import show_rows

TURNS = [
    {"role": "user", "content": "Why?", "reasoning_content": None},
    {"role": "assistant", "content": "So.", "reasoning_content": "Hm"},
]
ROW = dict.fromkeys(CONTRACT_COLUMNS) | {"id": "3", "messages": TURNS}


def test_a_sample_in_the_terminal_has_them_in_a_paragraph_of_their_own():
    console = Console(file=io.StringIO(), width=80)
    show_rows(console, [ROW])
    assert console.file.getvalue().split("\n")[1:4] == ["3 user: Why?", "3 assistant thinks: Hm", "3 assistant: So."]


def test_the_report_has_them_in_a_turn_of_their_own():
    assert shown_row(0, True, ROW)["turns"] == [["user", "Why?"], ["assistant thinks", "Hm"], ["assistant", "So."]]


CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CALLING = ROW | {"messages": [TURNS[0], {"role": "assistant", "content": "", "tool_calls": [CALL]}]}


def test_a_tool_call_is_shown_in_the_terminal_and_in_the_report():
    console = Console(file=io.StringIO(), width=80)
    show_rows(console, [CALLING])
    assert console.file.getvalue().split("\n")[2] == '3 assistant: add({"a": 1})'
    assert shown_row(0, True, CALLING)["turns"][1] == ["assistant", 'add({"a": 1})']
