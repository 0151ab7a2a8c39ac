"""The kinds of values in a source's columns, for checking before a run whether steps can use them."""

from typing import Any

from synth.messages import is_conversation
from synth.tool_calls import canonical

_OF_TYPE = {type(None): "null", bool: "truth value", int: "number", float: "number", dict: "object", str: "text"}


def kind(value: Any) -> str:
    """null, text, texts (a list), number, truth value, object, conversation, list; other types count as text."""
    if not isinstance(value, list | tuple):
        return _OF_TYPE.get(type(value), "text")
    if value and is_conversation(value):
        return "conversation"
    return "texts" if value and all(isinstance(item, str) for item in value) else "list"


def note(kinds: dict[str, list[str]], row: dict[str, Any]) -> None:
    """Add a row's kinds to those seen, by column."""
    for name, value in canonical(row).items():
        seen = kinds.setdefault(name, [])
        found = kind(value)
        if found not in seen:
            seen.append(found)
