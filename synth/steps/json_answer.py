"""JSON out of a model's answer, wherever in it the JSON is.

Engines that follow a schema give nothing else; other models put words around it, or a fence, or stop before its end.
Knows nothing of what an object is to hold.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from synth.steps.marks import marks_of

_ATTEMPTS = 50  # braces to look behind: text of nothing but braces is not worth more
_DECODER = json.JSONDecoder(strict=False)  # a line break inside of a string is no reason to lose the answer
_LIST = re.compile(r"^[ \t]*(?:`{3,}\w*[ \t]*)?(?=\[\s*[\"'{\[]|\{\s*[\"'])", re.MULTILINE)
_AROUND_LIST = re.compile(r"\[|\{\s*\"\w{1,40}\"\s*:\s*(?=\[)")  # what may be there without its end
_TEXT_KEYS = ("query", "question", "task", "instruction", "prompt", "request", "text", "item")
_QUOTED = re.compile(r"[\[\s,]*'(?P<text>.+?)'\s*(?=,\s*['\"]|,?\s*\])", re.DOTALL)


def json_object(text: str, key: str) -> dict[str, Any] | None:
    """The first JSON object in the text that has `key`, or None."""
    at = -1
    for _ in range(_ATTEMPTS):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            found, _ = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if key in found:
            return dict(found)
    return None


def json_values(text: str) -> list[Any]:
    """What an answer that is a JSON list holds, or one that is objects, one after the other. Empty for any other.

    Of one that breaks off, all that is whole. Python's quotation marks are read too.
    """
    start = _LIST.search(text)
    if start is None or not _only_announced(text[: start.start()]):
        return []
    found: list[Any] = list(_decoded(text, start.end())) or list(_python_texts(text[start.end() :]))
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def json_texts(text: str) -> list[str]:
    """The texts of an answer that is a JSON list of them, or of objects with one each. Empty for any other answer."""
    found = [one for value in json_values(text) for one in _texts(value)]
    return found if all(isinstance(one, str) for one in found) else []


def _only_announced(before: str) -> bool:
    lines = [line for line in before.splitlines() if line.strip()]
    return len(lines) < 4 and not any(mark.number for line in lines for mark in marks_of(line))


def _decoded(text: str, at: int) -> Iterator[Any]:
    """Values that follow each other; a list that breaks off is its whole values."""
    failures = 0
    while at < len(text):
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            failures += 1
            around = _AROUND_LIST.match(text, at)
            if around is None or failures > _ATTEMPTS:
                return
            at = around.end()
        else:
            yield value
        gap = re.compile(r"[\s,]*").match(text, at)
        at = gap.end() if gap else at
        if text[at : at + 1] not in ("{", "[", '"'):
            return


def _python_texts(text: str) -> list[str]:
    """The texts of a list in Python's spelling, which may have apostrophes in them."""
    found: list[str] = []
    at = 0
    while quoted := _QUOTED.match(text, at):
        found.append(quoted["text"].replace("\\'", "'"))
        at = quoted.end()
    return found


def _texts(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [one for part in value for one in _texts(part)]
    if not isinstance(value, Mapping):
        return [value]
    named = [value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)]
    lists = [one for one in value.values() if isinstance(one, list)]
    if named or len(lists) == 1:
        return named[:1] or _texts(lists[0])
    numbered = all(re.fullmatch(r"\D{0,12}\d+", str(key)) for key in value)
    return list(value.values()) if numbered or len(value) == 1 else [value]
