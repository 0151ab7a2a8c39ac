"""The messages of a request, in the form that records have: contents are texts, arguments of calls are JSON.

Text parts are joined by line breaks, as vLLM's server does. `developer` is OpenAI's newer word for `system`.
"""

import json
from collections.abc import Mapping
from typing import Any

from synth.batch.refused import Refused
from synth.errors import nearest

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")
_WITHOUT_EFFECT = ("refusal", "annotations", "audio", "function_call", "reasoning_content", "reasoning")


def messages_of(given: Any) -> list[dict[str, Any]]:
    """Raises Refused."""
    if not isinstance(given, list) or not given:
        raise Refused("invalid_value", "messages: must be a list of at least one message", "messages")
    return [_message(one, f"messages[{place}]") for place, one in enumerate(given)]


def _message(given: Any, at: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Refused("invalid_type", f"{at}: must be an object with role and content", at)
    role = given.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise Refused("invalid_value", f"{at}.role: is {role!r}{nearest(str(role), _ROLES)}", f"{at}.role")
    for key, value in given.items():
        if key not in _KEYS and not (key in _WITHOUT_EFFECT and (role == "assistant" or value is None)):
            raise Refused("unknown_parameter", f"{at}.{key}: no such key{nearest(key, _KEYS)}", f"{at}.{key}")
    calls = [_call(one, f"{at}.tool_calls[{place}]") for place, one in enumerate(given.get("tool_calls") or ())]
    if calls and role != "assistant":
        raise Refused("invalid_value", f"{at}.tool_calls: only the assistant calls tools", f"{at}.tool_calls")
    content = given.get("content")
    if content is None and not calls and role != "assistant":
        raise Refused("missing_required_parameter", f"{at}.content: is missing", f"{at}.content")
    message: dict[str, Any] = {"role": _ROLES[role], "content": _text(content, f"{at}.content")}
    for key in ("name", "tool_call_id"):
        if given.get(key) is not None:
            if not isinstance(given[key], str):
                raise Refused("invalid_type", f"{at}.{key}: must be a text", f"{at}.{key}")
            message[key] = given[key]
    return message | ({"tool_calls": calls} if calls else {})


def _text(content: Any, at: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise Refused("invalid_type", f"{at}: must be a text or a list of text parts", at)
    return "\n".join(_part(one, f"{at}[{place}]") for place, one in enumerate(content))


def _part(part: Any, at: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    if kind not in ("text", "refusal"):
        raise Refused("unsupported_content", f"{at}: is of type {kind!r}, only text is supported", at)
    text = part.get(kind)
    if not isinstance(text, str):
        raise Refused("invalid_type", f"{at}.{kind}: must be a text", f"{at}.{kind}")
    return text


def _call(given: Any, at: str) -> dict[str, Any]:
    function = given.get("function") if isinstance(given, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Refused("invalid_value", f"{at}: must be {{id, type, function: {{name, arguments}}}}", at)
    arguments = function.get("arguments", "{}")
    if not isinstance(given.get("id", ""), str | None):
        raise Refused("invalid_type", f"{at}.id: must be a text", f"{at}.id")
    try:
        known = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        raise Refused("invalid_value", f"{at}.function.arguments: must be a JSON object", f"{at}.function.arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": given.get("id"), "type": "function", "function": {"name": function["name"], "arguments": text}}
