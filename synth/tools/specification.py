"""Reads tool specifications from a file: OpenAI functions, an MCP server's list of tools, or JSON Schemas.

All are converted to one form: a name, a description and a JSON Schema of the arguments. Errors are reported before a
run starts, with the place in the file.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema

from synth.errors import nearest, reason
from synth.tool_calls import Specification

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SCHEMAS = ("parameters", "inputSchema", "input_schema")  # in OpenAI, MCP, and Anthropic
_KEYS = ("name", "description", *_SCHEMAS)
_MOST = 10_000_000  # bytes of a file


@dataclass(frozen=True)
class Tool:
    """`parameters` is the JSON Schema of an object; `returns` that of a result, if the specification has one.

    `example` is a request for this tool and the arguments of its call, shown to a model that writes others.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    returns: dict[str, Any] | None = None
    example: tuple[str, dict[str, Any]] | None = field(default=None, compare=False)

    @property
    def specification(self) -> Specification:
        """In OpenAI's format."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    @property
    def required(self) -> list[str]:
        return list(self.parameters.get("required", []))

    def problem(self, arguments: Any) -> str | None:
        """Why arguments don't fit, in one line, else None."""
        validator = jsonschema.validators.validator_for(self.parameters, jsonschema.Draft202012Validator)
        errors = sorted(validator(self.parameters).iter_errors(arguments), key=lambda one: list(map(str, one.path)))
        if not errors:
            known = self.parameters.get("properties", {})
            unknown = [name for name in arguments if name not in known] if isinstance(arguments, Mapping) else []
            open_ = self.parameters.get("additionalProperties") or self.parameters.get("patternProperties")
            return f"{unknown[0]}: no such argument{nearest(unknown[0], known)}" if unknown and not open_ else None
        place = ".".join(map(str, errors[0].path))
        return f"{place}: {errors[0].message}" if place else str(errors[0].message)


def read_tools(path: Path) -> list[Tool]:
    """Raises ValueError with the file and the tool."""
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"{path}: is too large for specifications, above {_MOST:,} bytes")
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{path}: can't be read: {error.strerror}") from None
    tools = tools_of(_parsed(text, path), str(path))
    if not tools:
        raise ValueError(f"{path}: has no tools")
    return tools


def tools_of(found: Any, where: str) -> list[Tool]:
    """From a file's content: a list, a server's answer with `tools` (possibly in `result`), or one tool."""
    for key in ("result", "tools"):
        if isinstance(found, Mapping) and key in found:
            found = found[key]
    nodes = found if isinstance(found, list) else [found]
    tools = [_tool(node, f"{where}: tool {place}") for place, node in enumerate(nodes, 1)]
    seen: set[str] = set()
    for place, one in enumerate(tools, 1):
        if one.name in seen:
            raise ValueError(f"{where}: tool {place}: an earlier tool has the name {one.name!r} too")
        seen.add(one.name)
    return tools


def _parsed(text: str, path: Path) -> Any:
    try:
        if path.suffix.lower() == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON: {reason(error)}") from None


def _tool(node: Any, where: str) -> Tool:
    if not isinstance(node, Mapping):
        raise ValueError(f"{where}: must be an object with a name and parameters, got {json.dumps(node)[:80]}")
    inner = node.get("function")
    function: Mapping[str, Any] = inner if isinstance(inner, Mapping) else node
    if "name" not in function and isinstance(function.get("title"), str):  # a JSON Schema, named by its title
        title, rest = function["title"], {name: one for name, one in function.items() if name != "title"}
        function = {"name": title, "description": function.get("description", ""), "parameters": rest}
    name = function.get("name")
    if not isinstance(name, str) or not name:
        close = next((nearest(key, ["name"]) for key in function if nearest(key, ["name"]).endswith("?")), "")
        raise ValueError(f'{where}: has no "name", a text{close}')
    where = f"{where}, {name!r}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{where}: a name has up to 64 letters, digits, _, . and -")
    schema: Any = next((function[key] for key in _SCHEMAS if key in function), None)
    if schema is None:
        unknown = next((key for key in function if key not in _KEYS and nearest(key, _SCHEMAS).endswith("?")), None)
        if unknown:
            raise ValueError(f"{where}: {unknown}: no such key{nearest(unknown, _SCHEMAS)}")
        schema = {"type": "object", "properties": {}}
    returns = function.get("outputSchema")
    for key, one in (("parameters", schema), *([("outputSchema", returns)] if returns is not None else [])):
        _refuse_no_schema(one, f"{where}: {key}")
    if schema.get("type", "object") != "object":
        raise ValueError(f'{where}: parameters: must be an object, but their "type" is {schema["type"]!r}')
    return Tool(name, str(function.get("description") or ""), {"type": "object", **schema}, returns)


def _refuse_no_schema(schema: Any, where: str) -> None:
    if not isinstance(schema, Mapping):
        raise ValueError(f"{where}: is not a JSON Schema, which is an object, got {json.dumps(schema)[:80]}")
    try:
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = ".".join(map(str, error.path))
        types = ("array", "boolean", "integer", "null", "number", "object", "string")
        hint = nearest(error.instance, types) if place.endswith("type") and isinstance(error.instance, str) else ""
        message = f"{error.instance!r} is not a type" if hint else reason(error)
        raise ValueError(f"{where}: is not a JSON Schema: {place + ': ' if place else ''}{message}{hint}") from None
