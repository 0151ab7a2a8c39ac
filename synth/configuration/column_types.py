"""Arrow types as text, for declaring columns in a strategy's YAML.

Types are spelled as `str(type)` prints them: `string`, `int64`, `double`, `list<string>`,
`struct<role: string, content: string>`; names of list items are optional, and `messages` is short for a conversation.
"""

import re

import pyarrow as pa

_WORDS = re.compile(r"\s*([<>,:]|[^<>,:\s]+)")
_MESSAGES = "list<struct<role: string, content: string>>"


def type_from_text(text: str) -> pa.DataType:
    """Raises ValueError, naming the text, for an invalid type."""
    words = _WORDS.findall(str(text).replace("messages", _MESSAGES))
    try:
        found = _type(words)
        if words:
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(f"{text!r} is not a column type; try string, int64, double, bool or list<string>") from None
    return found


def _type(words: list[str]) -> pa.DataType:
    name = words.pop(0)
    if name == "list":
        _expect("<", words)
        if words[1] == ":":
            del words[:2]
        inner = _type(words)
        _expect(">", words)
        return pa.list_(inner)
    if name == "struct":
        fields = []
        _expect("<", words)
        while True:
            key = words.pop(0)
            _expect(":", words)
            fields.append((key, _type(words)))
            if words[0] != ",":
                break
            words.pop(0)
        _expect(">", words)
        return pa.struct(fields)
    return pa.type_for_alias({"int": "int64", "float": "double", "str": "string"}.get(name, name))


def _expect(word: str, words: list[str]) -> None:
    if words.pop(0) != word:
        raise ValueError
