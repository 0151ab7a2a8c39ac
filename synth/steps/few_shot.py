"""Few-shot prompts as a conversation: the same request with its answers as earlier turns, then the request to answer.

A model that is too small to follow a description follows earlier answers. JSON is shown as JSON, and engines with
structured output get a schema: see `list_schema` and the others.
"""

import json
from collections.abc import Iterable
from typing import Any

Message = dict[str, str]
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}  # a maxLength of hundreds takes seconds to compile


def few_shot(examples: Iterable[tuple[str, Any]], request: str) -> list[Message]:
    """The messages of a conversation: example requests with their answers, and the request to answer.

    An answer that is not a string is shown as JSON.
    """
    messages = []
    for asked, answer in examples:
        shown = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": shown}]
    return [*messages, {"role": "user", "content": request}]


def list_schema(name: str, items: int) -> Schema:
    """An object with one list of `items` strings: some servers take no list at the top level."""
    return object_schema({name: {"type": "array", "items": _TEXT, "minItems": items, "maxItems": items}})


def objects_schema(name: str, fields: Iterable[str], most: int) -> Schema:
    """An object with one list of 1 to `most` objects, each with these string fields in this order."""
    each = object_schema({field: {"type": "string"} for field in fields})
    return object_schema({name: {"type": "array", "items": each, "minItems": 1, "maxItems": most}})


def object_schema(properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
