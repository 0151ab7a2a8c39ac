"""Tool calls and tool specifications, in the one format that records have.

`messages` are in OpenAI's format: an assistant's turn may have `tool_calls`, each {id, type, function: {name,
arguments}}, and a turn of role `tool` has a result, with `tool_call_id` and the tool's `name`. `arguments` are a JSON
string; so is the column `tools`, a list of {type: function, function: {name, description, parameters}}. Datasets differ
in this: `canonical` reads all variants.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]
Specification = dict[str, Any]


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message, mostly none."""
    return list(message.get("tool_calls") or ())


def call(id: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": as_json(arguments)}}


def numbered(calls: Sequence[tuple[str, Mapping[str, Any]]], first: int = 0) -> list[dict[str, Any]]:
    """The calls of a turn by name and arguments, with ids of nine letters and digits, as some templates demand."""
    return [call(f"call{number:05}", name, arguments) for number, (name, arguments) in enumerate(calls, first)]


def plain(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as {name, arguments}, with arguments as an object. Raises ValueError if they are not JSON."""
    function = call["function"]
    return {"name": function["name"], "arguments": json.loads(function["arguments"])}


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def has_calls(messages: Any) -> bool:
    """Whether there is a tool call or a result among them."""
    return isinstance(messages, Sequence) and any(
        isinstance(message, Mapping) and (message.get("tool_calls") or message.get("role") == "tool")
        for message in messages
    )


def has_tool_fields(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether messages of a dataset have fields for tool calls, used or not."""
    return bool(messages) and "tool_calls" in messages[0]


def specifications(tools: Any) -> list[Specification]:
    """From the column `tools`, or a source's equivalent; empty if it is something else."""
    try:
        found = json.loads(tools) if isinstance(tools, str) else tools
    except ValueError:
        return []
    found = found if isinstance(found, Sequence) and not isinstance(found, str) else []
    return [_specification(one) for one in found if isinstance(one, Mapping)]


def display_text(turn: Mapping[str, Any]) -> str:
    """A turn for people to read: its text, and its calls as `add({"a": 1})`."""
    functions = [one.get("function") or {} for one in calls_of(turn)]
    calls = [f"{function.get('name')}({function.get('arguments')})" for function in functions]
    return "\n".join(one for one in (turn.get("content"), *calls) if one)


def canonical(record: dict[str, Any]) -> dict[str, Any]:
    """A source's row with its tool calls and specifications in this format. Other values stay."""
    changed: dict[str, Any] = {}
    if has_calls(record.get("messages")):
        turns = record["messages"]
        changed["messages"] = [_message(turn) if isinstance(turn, Mapping) else turn for turn in turns]
    if isinstance(record.get("tools"), list) and (found := specifications(record["tools"])):
        changed["tools"] = as_json(found)
    return record | changed


def _message(turn: Mapping[str, Any]) -> Message:
    """Without null fields, which other rows' keys add; with the arguments of calls as JSON."""
    message = {name: value for name, value in turn.items() if value is not None}
    if calls := message.get("tool_calls"):
        known = calls if isinstance(calls, list) else []
        message["tool_calls"] = [_call(one) for one in known if isinstance(one, Mapping)]
    if isinstance(message.get("content"), dict | list) and message.get("role") == "tool":
        message["content"] = as_json(message["content"])
    return {"role": message.get("role"), "content": ""} | message


def _call(one: Mapping[str, Any]) -> dict[str, Any]:
    function = one["function"] if isinstance(one.get("function"), Mapping) else one
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else as_json(_without_null(arguments or {}))
    named = {"name": function.get("name"), "arguments": text}
    return {"id": one.get("id"), "type": one.get("type") or "function", "function": named}


def _specification(one: Mapping[str, Any]) -> Specification:
    function = one["function"] if isinstance(one.get("function"), Mapping) else one
    plain = _without_null({name: value for name, value in function.items() if name != "type"})
    return {"type": "function", "function": plain}


def _without_null(value: Any) -> Any:
    """A column of objects has all keys of all rows in each row, null where a row lacks one."""
    if isinstance(value, Mapping):
        return {name: _without_null(one) for name, one in value.items() if one is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value
