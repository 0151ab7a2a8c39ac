"""Specifications out of files of every kind, and what is wrong with one, in one line."""

import json

import pytest
from jsonschema import Draft202012Validator

from synth.tools.forms import calls_form
from synth.tools.specification import Tool, read_tools

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
WEATHER = Tool("get_weather", "The weather.", SCHEMA)
FORMS = {
    "OpenAI's functions": [
        {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": SCHEMA}}
    ],
    "functions alone": [{"name": "get_weather", "description": "The weather.", "parameters": SCHEMA}],
    "an MCP server's answer": {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"tools": [{"name": "get_weather", "description": "The weather.", "inputSchema": SCHEMA}]},
    },
    "an MCP server's list": {"tools": [{"name": "get_weather", "description": "The weather.", "inputSchema": SCHEMA}]},
    "a JSON Schema": {"title": "get_weather", "description": "The weather.", **SCHEMA},
}


def written(tmp_path, found):
    path = tmp_path / "tools.json"
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return path


@pytest.mark.parametrize("kind", FORMS)
def test_every_kind_of_file_is_read(tmp_path, kind):
    (tool,) = read_tools(written(tmp_path, FORMS[kind]))
    assert (tool.name, tool.description) == ("get_weather", "The weather.")
    assert tool.parameters["properties"] == SCHEMA["properties"] and tool.required == ["city"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("{", ": is not JSON: "),
        ([], ": has no tools"),
        ([{"parameters": SCHEMA}], ': tool 1: has no "name", a text'),
        ([{"nmae": "x", "parameters": SCHEMA}], ": tool 1: has no \"name\", a text; did you mean 'name'?"),
        ([{"name": "get weather", "parameters": SCHEMA}], ": tool 1, 'get weather': a name has up to 64 letters"),
        ([{"name": "f", "parmeters": SCHEMA}], "'f': parmeters: no such key; did you mean 'parameters'?"),
        ([{"name": "f", "parameters": 5}], "'f': parameters: is not a JSON Schema, which is an object, got 5"),
        (
            [{"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "strng"}}}}],
            "'f': parameters: is not a JSON Schema: properties.a.type: 'strng' is not a type; did you mean 'string'?",
        ),
        ([{"name": "f", "parameters": {"type": "array"}}], "parameters: must be an object"),
        ([{"name": "f"}, {"name": "f"}], ": tool 2: an earlier tool has the name 'f' too"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path, found, expected):
    path = written(tmp_path, found)
    with pytest.raises(ValueError, match=r".") as refused:
        read_tools(path)
    assert (
        str(refused.value).startswith(str(path)) and expected in str(refused.value) and "\n" not in str(refused.value)
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"city": "Rome", "days": 2}, None),
        ({"days": 2}, "'city' is a required property"),
        ({"city": "Rome", "days": "two"}, "days: 'two' is not of type 'integer'"),
        ({"city": "Rome", "dayz": 2}, "dayz: no such argument; did you mean 'days'?"),
        (["Rome"], "['Rome'] is not of type 'object'"),
    ],
)
def test_arguments_are_held_against_the_schema(arguments, expected):
    assert WEATHER.problem(arguments) == expected


def test_the_form_of_an_answer_takes_calls_that_are_fit_and_no_others():
    tree = {"type": "object", "properties": {"root": {"$ref": "#/$defs/node"}}, "required": ["root"]}
    tree["$defs"] = {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}
    form = calls_form([WEATHER, Tool("walk", "", tree)], 2)
    Draft202012Validator.check_schema(form)
    fit = Draft202012Validator(form).is_valid
    assert fit({"tool_calls": []}) and fit({"tool_calls": [{"name": "get_weather", "arguments": {"city": "Rome"}}]})
    assert fit({"tool_calls": [{"name": "walk", "arguments": {"root": {"next": {"next": {}}}}}]})
    assert not fit({"tool_calls": [{"name": "walk", "arguments": {"root": {"next": 5}}}]})
    assert not fit({"tool_calls": [{"name": "get_weather", "arguments": {"root": {}}}]})
    assert not fit({"tool_calls": [{"name": "get_wether", "arguments": {"city": "Rome"}}]})
    assert not fit({"tool_calls": [{"name": "get_weather", "arguments": {"city": "Rome", "x": 1}}]})
