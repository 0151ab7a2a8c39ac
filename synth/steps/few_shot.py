"""Few-shot prompts as a conversation: the same request, asked and answered before, then asked once more.

A model that is too small to follow a description follows earlier answers. What is to be JSON is shown as JSON, and an
engine that can hold a JSON schema is asked to: see `list_schema` and the like.

Knows nothing of where the examples come from.
"""

import json
from collections.abc import Iterable
from typing import Any

Message = dict[str, str]
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}  # a maxLength of hundreds takes seconds to compile


def few_shot(examples: Iterable[tuple[str, Any]], request: str) -> list[Message]:
    """The messages of a conversation: requests with their answers, and the request to answer.

    An answer that is no text becomes JSON.
    """
    messages = []
    for asked, answer in examples:
        shown = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": shown}]
    return [*messages, {"role": "user", "content": request}]


def list_schema(name: str, items: int) -> Schema:
    """An object with one list of so many texts: some servers take no list at the top."""
    return object_schema({name: {"type": "array", "items": _TEXT, "minItems": items, "maxItems": items}})


def objects_schema(name: str, fields: Iterable[str], most: int) -> Schema:
    """An object with one list of one to `most` objects, each of which has these texts in this order."""
    each = object_schema({field: {"type": "string"} for field in fields})
    return object_schema({name: {"type": "array", "items": each, "minItems": 1, "maxItems": most}})


def object_schema(properties: Schema) -> Schema:
    """An object with these properties, all of them and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
