"""Detects copies of prompt text in a model's answer: of an example, a context, or the prompt itself.

Words are compared without case and punctuation. A copy begins with words of the shown text and adds little, or is a
part of it; with "What is …" or "Explain …" before a quotation it is a request.
"""

import re
from collections.abc import Iterable, Sequence

RUN = 5  # consecutive words in common; fewer are no quotation
COPIED = 0.8  # share of the text's words
_ALONE = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # letters of scripts without spaces between words
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")


def is_copy(text: str, shown: Iterable[str]) -> bool:
    """Whether the text is a part of a shown text, or continues it by a few words."""
    words = _words(text)
    return bool(words) and any(_is_copy(words, _words(one)) for one in shown)


def _is_copy(words: Sequence[str], shown: Sequence[str]) -> bool:
    run = min(RUN, len(words))
    there = {tuple(shown[at : at + run]) for at in range(len(shown) - run + 1)}
    starts = [at for at in range(len(words) - run + 1) if tuple(words[at : at + run]) in there]
    copied = {at + step for at in starts for step in range(run)}
    return 0 in copied and len(copied) >= COPIED * len(words)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
