"""The JSON Schema of an answer with calls of several tools, each with the arguments of its own schema.

Calls are always validated, since not every engine supports structured output.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from synth.tools.specification import Tool

KEY = "tool_calls"


def calls_form(tools: Sequence[Tool], most: int) -> dict[str, Any]:
    """For {tool_calls: [{name, arguments}, …]}, with 0 to `most` calls."""
    one = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": _closed(_moved(tool.parameters, tool.name))},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    calls = {"type": "array", "items": one[0] if len(one) == 1 else {"anyOf": one}, "maxItems": most}
    form: dict[str, Any] = {
        "type": "object",
        "properties": {KEY: calls},
        "required": [KEY],
        "additionalProperties": False,
    }
    roots = {tool.name: tool.parameters for tool in tools if _refers(tool.parameters)}
    if roots:
        form["$defs"] = {name: _moved(schema, name) for name, schema in roots.items()}
    return form


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Without unknown arguments, which an engine could otherwise write."""
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


def _refers(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "$ref" in value or any(map(_refers, value.values()))
    return isinstance(value, list) and any(map(_refers, value))


def _moved(value: Any, name: str) -> Any:
    """A schema with references relative to `$defs/NAME`, its new place."""
    if isinstance(value, Mapping):
        moved = {key: _moved(one, name) for key, one in value.items() if key not in ("$schema", "$id")}
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            moved["$ref"] = f"#/$defs/{name}{reference[1:]}"
        return moved
    return [_moved(item, name) for item in value] if isinstance(value, list) else value
