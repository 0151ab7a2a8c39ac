"""Whether an answer states the result of a call, by comparing words; no model is called.

A number is stated by itself, rounded or with grouped digits; a text by its words; true and false by yes or no. Of an
object one value suffices, since a question may ask for one of them; all items of a list are needed.
"""

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_YES = re.compile(r"\b(yes|true|is|does)\b", re.IGNORECASE)
_NO = re.compile(r"\b(no|not|false|isn't|doesn't)\b", re.IGNORECASE)
_MOST = 5  # items of a list that an answer has to repeat


def states(answer: str, result: Any) -> bool:
    """For a result in JSON. An empty result is stated by anything."""
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
    """Whether a written number is the value, exactly or rounded to at least two digits."""
    plain = written.rstrip(",").replace(",", "")
    decimals = len(plain.partition(".")[2])
    digits = len(plain.lstrip("-0.").replace(".", ""))
    close = abs(float(plain) - value) <= 0.5 * 10**-decimals + 1e-9 * abs(value)
    return float(plain) == value or (close and digits >= 2)


def _has_words(answer: str, text: str) -> bool:
    """A number given as text counts as a number; of any other text the words must occur in order."""
    words = re.findall(r"\w+", text.casefold())
    return " ".join(words) in " ".join(re.findall(r"\w+", answer.casefold())) if words else text in answer
