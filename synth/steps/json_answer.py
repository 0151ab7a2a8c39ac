"""A JSON object out of a model's answer, wherever in it the object is.

Engines that follow a schema give nothing else; other models put words around it, or a fence. Knows nothing of what the
object is to hold.
"""

import json
from typing import Any

_ATTEMPTS = 50  # braces to look behind: text of nothing but braces is not worth more


def json_object(text: str, key: str) -> dict[str, Any] | None:
    """The first JSON object in the text that has `key`, or None."""
    decoder = json.JSONDecoder(strict=False)  # a line break inside of a string is no reason to lose the answer
    at = -1
    for _ in range(_ATTEMPTS):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            found, _ = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if key in found:
            return dict(found)
    return None
