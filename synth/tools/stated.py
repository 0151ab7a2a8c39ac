"""Whether an answer states what a call returned, as far as words can be compared: no model is asked.

A number is stated by itself, rounded or with its digits grouped; a text by its words; true and false by a yes or a no.
Of an object one value is enough, for a question may ask for one of them; a list is stated whole.

Knows nothing of how a result came about.
"""

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_YES = re.compile(r"\b(yes|true|is|does)\b", re.IGNORECASE)
_NO = re.compile(r"\b(no|not|false|isn't|doesn't)\b", re.IGNORECASE)
_MOST = 5  # items of a list that an answer is to repeat


def states(answer: str, result: Any) -> bool:
    """Of a result as JSON has it. One that holds nothing is stated by anything."""
    if result is None:
        return True
    if isinstance(result, Mapping):
        return not result or any(states(answer, one) for one in result.values())
    if isinstance(result, list):
        return all(states(answer, one) for one in result[:_MOST])
    if isinstance(result, bool):
        denied = bool(_NO.search(answer))
        return denied if not result else bool(_YES.search(answer)) and not denied
    if isinstance(result, int | float):
        return any(_is_rounded(found, result) for found in _NUMBER.findall(answer))
    return _has_words(answer, str(result))


def _is_rounded(written: str, value: float) -> bool:
    """Whether a number as it is written is the value, or it rounded: to two digits at the least."""
    plain = written.rstrip(",").replace(",", "")
    decimals = len(plain.partition(".")[2])
    digits = len(plain.lstrip("-0.").replace(".", ""))
    close = abs(float(plain) - value) <= 0.5 * 10**-decimals + 1e-9 * abs(value)
    return float(plain) == value or (close and digits >= 2)


def _has_words(answer: str, text: str) -> bool:
    """A number that a result has as a text is one; of any other text each word stands in its order."""
    words = re.findall(r"\w+", text.casefold())
    return " ".join(words) in " ".join(re.findall(r"\w+", answer.casefold())) if words else text in answer
