"""Tool calls in a text: as models of several families write them."""

import pytest

from synth.tools.calls_in_text import calls_in

ONE = [("add", {"a": 1})]


@pytest.mark.parametrize(
    ("text", "rest", "calls"),
    [
        ('<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>', "", ONE),
        ('Let me see.\n<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', "Let me see.", ONE),
        ('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>\n' * 2, "", ONE * 2),
        ('{"name": "add", "parameters": {"a": 1}}', "", ONE),
        ('{"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {"a": 1}}', "", ONE * 2),
        ('[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}}]', "", ONE),
        ('[{"name": "add", "arguments": "{\\"a\\": 1}"}]', "", ONE),
    ],
)
def test_calls_are_found_and_the_text_beside_them_stays(text, rest, calls):
    assert calls_in(text, {"add"}) == (rest, calls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would call add.",
        '{"name": "sub", "arguments": {"a": 1}}',
        '{"name": "add"}',
        '{"name": "add", "arguments": [1]}',
        'Here is JSON: {"name": "add", "arguments": {"a": 1}} and more',
        '<tool_call>{"name": "add", "arguments": {"a": 1}',
        '<tool_call>{"name": "add", "arguments": {"a": }}</tool_call>',
        "[" * 5000,
    ],
)
def test_what_is_no_call_of_a_tool_on_offer_stays_text(text):
    assert calls_in(text, {"add"}) == (text, [])
