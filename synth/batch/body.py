"""The body of a request, checked: its messages or its prompt, how an answer is drawn, how many, with which tools.

Which keys there are is in keys.py.
"""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_type_hints

import jsonschema
from pydantic import ConfigDict, ValidationError, create_model

from synth.batch.content import messages_of
from synth.batch.keys import KEYS, SAMPLED, TEXT_KEYS, known_keys, shown
from synth.batch.refused import Refused
from synth.engines import Sampling
from synth.errors import nearest, reason
from synth.tools.specification import tools_of

MOST_ANSWERS = 128  # `n`, as in OpenAI's API
_TEXT_LENGTH = 16  # max_tokens of a text completion that sets none, as in OpenAI's API
# The types of Sampling's fields, without conversion: "0.5" is no number, and true is no 1.
_TYPES: dict[str, Any] = {name: (kind, None) for name, kind in get_type_hints(Sampling, include_extras=True).items()}
_SAMPLING = create_model("Sampling", __config__=ConfigDict(strict=True), **_TYPES)


def chat_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a record: `messages`, `tools` if there are any, and `request`: {sampling, n, tool_choice,
    parallel_tool_calls} as plain data, each only if it differs from the default. Raises Refused."""
    given = known_keys(body, KEYS)
    if "messages" not in given:
        raise Refused("missing_required_parameter", "messages: is missing", "messages")
    tools, choice = _tools(given)
    request: dict[str, Any] = {"sampling": _sampling(given)}
    if (count := _whole(given, "n", 1, MOST_ANSWERS)) not in (None, 1):
        request["n"] = count
    if choice not in ("auto", "none"):
        request["tool_choice"] = choice
        if "json_schema" in request["sampling"]:
            raise Refused("invalid_value", "response_format: can't be combined with this tool_choice", "tool_choice")
    if tools and given.get("parallel_tool_calls") is False:
        request["parallel_tool_calls"] = False
    offered = {"tools": tools} if tools and choice != "none" else {}
    return {"messages": messages_of(given["messages"]), **offered, "request": request}


def text_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a record of `/v1/completions`: `prompt`, and `request` as of `chat_request`. Raises Refused."""
    given = known_keys(body, TEXT_KEYS)
    prompt = given.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        code = "missing_required_parameter" if prompt is None else "invalid_type"
        raise Refused(code, "prompt: must be one text; write a line for each prompt", "prompt")
    request: dict[str, Any] = {"sampling": {"max_tokens": _TEXT_LENGTH} | _sampling(given)}
    if (count := _whole(given, "n", 1, MOST_ANSWERS)) not in (None, 1):
        request["n"] = count
    return {"prompt": prompt, "request": request}


def _sampling(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Sampling that the request sets, validated."""
    found = {key: given[key] for key in SAMPLED if key in given}
    if found.get("top_k") == -1:  # vLLM's value for all tokens
        found["top_k"] = 0
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    if isinstance(found.get("stop"), list) and "" in found["stop"]:
        raise Refused("invalid_value", "stop: an empty text ends nothing", "stop")
    if isinstance(seed := found.get("seed"), int) and not -(2**63) <= seed < 2**63 - MOST_ANSWERS:
        raise Refused("invalid_value", "seed: must be a whole number of 64 bits", "seed")
    most = _whole(given, "max_completion_tokens", 1)
    most = _whole(given, "max_tokens", 1) if most is None else most
    if most is not None:
        found["max_tokens"] = most
    if (thoughts := _whole(given, "thinking_token_budget", 1)) is not None:
        found["thinking_tokens"] = thoughts
    if (thinking := _thinking(given)) is not None:
        found["thinking"] = thinking
    if (schema := _schema(given.get("response_format"))) is not None:
        found["json_schema"] = schema
    for key, value in found.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Refused("invalid_value", f"{key}: must be a finite number", key)
    try:
        _SAMPLING(**_as_tuples(found))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "body"
        code = "invalid_type" if first["type"].endswith("_type") else "invalid_value"
        raise Refused(code, f"{key}: {_lower(first['msg'])}, got {shown(found.get(key))}", key) from None
    return found


def sampling_fields(request: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Sampling in a record's `request`."""
    return _as_tuples(request["sampling"])


def _as_tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if key in ("stop", "stop_token_ids") and isinstance(value, list) else value
        for key, value in found.items()
    }


def _whole(given: Mapping[str, Any], key: str, least: int, most: int | None = None) -> int | None:
    value = given.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused("invalid_type", f"{key}: must be a whole number, got {shown(value)}", key)
    if value < least or (most is not None and value > most):
        upper = "" if most is None else f" to {most}"
        raise Refused("invalid_value", f"{key}: must be a whole number from {least}{upper}, got {shown(value)}", key)
    return value


def _thinking(given: Mapping[str, Any]) -> str | None:
    """`reasoning_effort`, or the switch that many chat templates have."""
    effort = given.get("reasoning_effort")
    if effort is not None and not isinstance(effort, str):
        raise Refused("invalid_type", f"reasoning_effort: must be a text, got {shown(effort)}", "reasoning_effort")
    variables = given.get("chat_template_kwargs", {})
    if not isinstance(variables, Mapping):
        raise Refused("invalid_type", "chat_template_kwargs: must be an object", "chat_template_kwargs")
    for key, value in variables.items():
        at = f"chat_template_kwargs.{key}"
        if key not in ("enable_thinking", "thinking") or not isinstance(value, bool):
            why = "is not supported; set model.template_kwargs for all requests"
            raise Refused("unsupported_parameter", f"{at}: {why}", at)
        effort = effort or ("on" if value else "off")
    return effort


def _schema(form: Any) -> dict[str, Any] | None:
    """The JSON Schema of an answer; None for plain text."""
    if form is None:
        return None
    kind = form.get("type") if isinstance(form, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind != "json_schema":
        choices = nearest(str(kind), ("text", "json_object", "json_schema"))
        raise Refused("invalid_value", f"response_format.type: is {shown(kind)}{choices}", "response_format.type")
    named = form.get("json_schema")
    schema = named.get("schema") if isinstance(named, Mapping) else None
    at = "response_format.json_schema.schema"
    if not isinstance(schema, dict):
        raise Refused("missing_required_parameter", f"{at}: is missing", at)
    if problem := _problem(json.dumps(schema, sort_keys=True)):
        raise Refused("invalid_value", f"{at}: is not a JSON Schema: {problem}", at)
    return schema


@lru_cache(256)  # the requests of a file have few different ones
def _problem(schema: str) -> str | None:
    node = json.loads(schema)
    try:
        jsonschema.validators.validator_for(node, jsonschema.Draft202012Validator).check_schema(node)
    except jsonschema.SchemaError as error:
        return reason(error)
    return None


def _tools(given: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The specifications, and the choice: auto, none, required, or the name of a tool after `function:`."""
    tools, choice = given.get("tools", []), given.get("tool_choice")
    if not isinstance(tools, list):
        raise Refused("invalid_type", "tools: must be a list", "tools")
    names: tuple[str, ...] = ()
    if tools:
        names, problem = _names(json.dumps(tools, sort_keys=True))
        if problem:
            raise Refused("invalid_value", problem, "tools")
    if choice is None:
        return tools, "auto"
    if isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if name not in names:
            why = f"tool_choice: tools has no function {shown(name)}{nearest(str(name), names)}"
            raise Refused("invalid_value", why, "tool_choice")
        return tools, f"function:{name}"
    if choice not in ("auto", "none", "required"):
        choices = nearest(str(choice), ("auto", "none", "required"))
        raise Refused("invalid_value", f"tool_choice: is {shown(choice)}{choices}", "tool_choice")
    if not tools and choice == "required":
        raise Refused("invalid_value", "tool_choice: needs tools", "tool_choice")
    return tools, choice


@lru_cache(256)
def _names(tools: str) -> tuple[tuple[str, ...], str | None]:
    """The names of tools, or what is wrong with one."""
    try:
        return tuple(one.name for one in tools_of(json.loads(tools), "tools")), None
    except ValueError as error:
        return (), str(error)


def _lower(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should be", "must be").replace("tuple", "list")
