"""Extracts JSON from a model's answer, wherever it is in it.

With structured output the answer is just that; other models add words or a fence around it, or stop before its end.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from synth.steps.marks import marks_of

_ATTEMPTS = 50  # opening braces to try: more are in no useful text
_DECODER = json.JSONDecoder(strict=False)  # accepts line breaks inside strings
_LIST = re.compile(r"^[ \t]*(?:`{3,}\w*[ \t]*)?(?=\[\s*[\"'{\[]|\{\s*[\"'])", re.MULTILINE)
_AROUND_LIST = re.compile(r"\[|\{\s*\"\w{1,40}\"\s*:\s*(?=\[)")  # openings whose end may be missing
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
    """The values of an answer that is a JSON list, or a sequence of objects. Empty for any other answer.

    Of a truncated list, the complete values. Python's quotation marks are accepted.
    """
    start = _LIST.search(text)
    if start is None or not _only_announced(text[: start.start()]):
        return []
    found: list[Any] = list(_decoded(text, start.end())) or list(_python_texts(text[start.end() :]))
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def json_texts(text: str) -> list[str]:
    """The strings of an answer that is a JSON list of them, or of objects with one each. Empty for any other answer."""
    found = [one for value in json_values(text) for one in _texts(value)]
    return found if all(isinstance(one, str) for one in found) else []


def _only_announced(before: str) -> bool:
    lines = [line for line in before.splitlines() if line.strip()]
    return len(lines) < 4 and not any(mark.number for line in lines for mark in marks_of(line))


def _decoded(text: str, at: int) -> Iterator[Any]:
    """Consecutive values; of a truncated list, its complete values."""
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
    """The strings of a list in Python's notation, which may contain apostrophes."""
    found: list[str] = []
    at = 0
    while quoted := _QUOTED.match(text, at):
        found.append(quoted["text"].replace("\\'", "'"))
        at = quoted.end()
    return found


def _texts(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    if not isinstance(value, Mapping):
        return [value]
    named = [value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)]
    lists = [item for item in value.values() if isinstance(item, list)]
    if named or len(lists) == 1:
        return named[:1] or _texts(lists[0])
    numbered = all(re.fullmatch(r"\D{0,12}\d+", str(key)) for key in value)
    return list(value.values()) if numbered or len(value) == 1 else [value]
