"""Tool calls in the text of an answer.

Models are trained on different marks around a call, but nearly all write JSON inside: an object with the tool's name
and its arguments, between tags such as `<tool_call>`, or as the whole answer, possibly in a list. Both are read here;
an answer in another form, such as Python, stays text.
"""

import json
import re
from collections.abc import Collection
from typing import Any

_MARKED = re.compile(r"<(?P<tag>[A-Za-z_|:-]{1,40})>\s*(?P<json>[{\[].*?[}\]])\s*</(?P=tag)>", re.DOTALL)
# Around an answer that is nothing but calls; decoding has removed the marks that are special tokens.
_OPENING = re.compile(r"\s*(<[A-Za-z_|:-]{1,40}>|\[[A-Z_]{1,40}\])?\s*(?=[{\[])")
_CLOSING = re.compile(r"\s*(</[A-Za-z_|:-]{1,40}>)?\s*")
_DECODER = json.JSONDecoder(strict=False)

Call = tuple[str, dict[str, Any]]  # name and arguments


def calls_in(text: str, names: Collection[str]) -> tuple[str, list[Call]]:
    """The text beside the calls, and the calls, all of tools with one of `names`. Without any the text is unchanged."""
    calls: list[Call] = []
    rest, at = "", 0
    for marked in _MARKED.finditer(text):
        found = _calls(marked["json"], names)
        if found:
            calls += found
            rest += text[at : marked.start()]
            at = marked.end()
    if calls:
        return (rest + text[at:]).strip(), calls
    found = _whole(text, names)
    return ("", found) if found else (text, [])


def _whole(text: str, names: Collection[str]) -> list[Call]:
    """The calls of an answer that is nothing else: one value, or several in a row."""
    opening = _OPENING.match(text)
    if opening is None:
        return []
    at, calls = opening.end(), list[Call]()
    while at < len(text) and text[at] in "{[":
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        found = _of(value, names)
        if not found:
            return []
        calls += found
        closing = re.compile(r"[\s;,]*").match(text, at)
        at = closing.end() if closing else at
    return calls if _CLOSING.fullmatch(text, at) else []


def _calls(text: str, names: Collection[str]) -> list[Call]:
    try:
        return _of(_DECODER.decode(text), names)
    except (ValueError, RecursionError):
        return []


def _of(value: Any, names: Collection[str]) -> list[Call]:
    """The calls of a JSON value; empty if one is no call of a known tool."""
    calls = []
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, dict) or one.get("name") not in names:
            return []
        arguments = one.get("arguments", one.get("parameters"))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                return []
        if not isinstance(arguments, dict):
            return []
        calls.append((one["name"], arguments))
    return calls
