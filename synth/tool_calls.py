"""Tool calls and specifications of tools, in the one form in which a record has them.

`messages` are as OpenAI has them: an assistant's turn may have `tool_calls`, each {id, type, function: {name,
arguments}}, and a turn of the role `tool` has a result, with `tool_call_id` and the tool's `name`. `arguments` are
JSON, as a text; so is the column `tools`, a list of {type: function, function: {name, description, parameters}}.
Datasets differ in what they have of this: `canonical` reads them all.

Knows nothing of models, chat templates or of what a tool does.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]
Specification = dict[str, Any]


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message, none of most."""
    return list(message.get("tool_calls") or ())


def call(id: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": as_json(arguments)}}


def plain(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as {name, arguments}, its arguments an object. Raises ValueError where they are no JSON."""
    function = call["function"]
    return {"name": function["name"], "arguments": json.loads(function["arguments"])}


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def has_calls(messages: Any) -> bool:
    """Whether there is a tool call or a result among them."""
    return isinstance(messages, Sequence) and any(
        isinstance(one, Mapping) and (one.get("tool_calls") or one.get("role") == "tool") for one in messages
    )


def has_tool_fields(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether messages of a dataset have room for tool calls, whether there is one or not."""
    return bool(messages) and "tool_calls" in messages[0]


def specifications(tools: Any) -> list[Specification]:
    """Of the column `tools`, or of what a source has in its place; none where it holds nothing of the kind."""
    try:
        found = json.loads(tools) if isinstance(tools, str) else tools
    except ValueError:
        return []
    found = found if isinstance(found, Sequence) and not isinstance(found, str) else []
    return [_specification(one) for one in found if isinstance(one, Mapping)]


def read_aloud(turn: Mapping[str, Any]) -> str:
    """What a turn says, for people to read: its words, and its calls as `add({"a": 1})`."""
    functions = [one.get("function") or {} for one in calls_of(turn)]
    calls = [f"{one.get('name')}({one.get('arguments')})" for one in functions]
    return "\n".join(one for one in (turn.get("content"), *calls) if one)


def canonical(record: dict[str, Any]) -> dict[str, Any]:
    """A source's row with its tool calls and specifications in this form. What is not of their kind stays."""
    changed: dict[str, Any] = {}
    if has_calls(record.get("messages")):
        turns = record["messages"]
        changed["messages"] = [_message(turn) if isinstance(turn, Mapping) else turn for turn in turns]
    if isinstance(record.get("tools"), list) and (found := specifications(record["tools"])):
        changed["tools"] = as_json(found)
    return record | changed


def _message(turn: Mapping[str, Any]) -> Message:
    """Without fields that are null, which only the column's other rows have; of a call's arguments the JSON."""
    said = {name: value for name, value in turn.items() if value is not None}
    if calls := said.get("tool_calls"):
        known = calls if isinstance(calls, list) else []
        said["tool_calls"] = [_call(one) for one in known if isinstance(one, Mapping)]
    if isinstance(said.get("content"), dict | list) and said.get("role") == "tool":
        said["content"] = as_json(said["content"])
    return {"role": said.get("role"), "content": ""} | said


def _call(one: Mapping[str, Any]) -> dict[str, Any]:
    function = one["function"] if isinstance(one.get("function"), Mapping) else one
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else as_json(_without_null(arguments or {}))
    told = {"name": function.get("name"), "arguments": text}
    return {"id": one.get("id"), "type": one.get("type") or "function", "function": told}


def _specification(one: Mapping[str, Any]) -> Specification:
    function = one["function"] if isinstance(one.get("function"), Mapping) else one
    plain = _without_null({name: value for name, value in function.items() if name != "type"})
    return {"type": "function", "function": plain}


def _without_null(value: Any) -> Any:
    """A column of objects has all keys of all its rows in each, null where a row has none."""
    if isinstance(value, Mapping):
        return {name: _without_null(one) for name, one in value.items() if one is not None}
    return [_without_null(one) for one in value] if isinstance(value, list) else value
