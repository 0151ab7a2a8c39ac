"""Elimination evolving (arXiv 2304.12244, section 3.2): detects that an evolution has failed.

Limits: only the judge's verdict and English words are used, so answers in other languages never count as empty words.
Refusals and the assistant's voice are detected by synth/quality.
"""

import re
from functools import cache

from synth.quality.asking import asks
from synth.quality.refusal import refusal
from synth.quality.request import in_assistants_voice, offers_help
from synth.steps.evol_examples import EXAMPLES
from synth.steps.prompts import render
from synth.steps.remarks import without_remarks

# Without yes, no, not and number words, which can be a complete answer.
_STOP_WORDS = frozenset(
    "a about above after again against all also am an and any are as at be because been before being below between "
    "both but by can could d did do does doing down during each few for from further had has have having he her "
    "here hers herself him himself his how i if in into is it its itself just ll m me more most my myself now of "
    "off on once only or other our ours ourselves out over own re s same shall she should so some such t than that "
    "the their theirs them themselves then there these they this those through to too under until up ve very was we "
    "were what when where which while who whom why will with would you your yours yourself yourselves".split()
)

# How models announce their output, given the paper's prompts or ours.
_ANNOUNCED = re.compile(
    r"\b(given|rewritten|created|evolved) (prompt|instruction)\b|#\s*(given|rewritten|created|new) prompt\b"
    r"|\binstruction (below|above)\b|^\W*(the )?(new |final )?instruction\W*:|^\W*new (instruction|prompt)\b"
    r"|^\W*(sure|certainly|of course|absolutely)\s*[!,.]"
    r"|\b(the|this|your) (new|original|old|rewritten|revised|evolved) (instruction|prompt)\b"
    r"|\b(rewrit(e|ing)|revis(e|ing)) (the|this|your) (instruction|prompt)\b(?! (manual|book|set|sheet)s?\b)"
    r"|\bmake (it|this|the instruction) a (little|bit) harder by\b"
    r"|\bto (make|rewrite|improve|evolve|modify) (the|this|your) (\w+ )?(instruction|prompt)\b"
    r"|^\W*(the|this|your) (\w+ )?(instruction|prompt|question|request)\b( \w+){0,2}? (is|asks?|could|should|can|would"
    r"|has|requires?|seems|already|involves|focuses|aims)\b"
    r"|\bhere(['’]s| is) (an?|the|your|my) [^.:\n]{0,60}\b(version|rewrite|revision) of (the|your|this)\b"
    r"|\bexplanation of (the|this|your) (instructions?|prompt)\b"
    r"|(?m:^)\W*(the|these|your) (\w+ )?instructions (provide|describe|explain|give|outline|ask)\b",
    re.IGNORECASE,
)
_WINDOW = 5  # consecutive words that only the prompt's author would have written

_EQUAL = re.compile(
    r"\W*(?:(?:the )?(?:verdict|answer|result)(?: is)?\W+)?(?P<not>not |un)?equal\b(?!\W*or\W+(?:not |un)equal)",
    re.IGNORECASE,
)


def judged_equal(verdict: str) -> bool | None:
    """Whether a judge's answer to `evolve_equal` begins with "Equal" or "Not equal"; None if neither.

    An echo of the question, which has both, is neither.
    """
    found = _EQUAL.match(verdict)
    return None if found is None else not found["not"]


def is_empty_words(response: str) -> bool:
    """Only punctuation and stop words, or nothing at all."""
    return all(word in _STOP_WORDS for word in re.findall(r"\w+", response.lower()))


def is_response(evolved: str, before: str) -> bool:
    """Whether the instruction was answered instead of rewritten: the result, unlike the original, asks for nothing, or
    speaks as an assistant. English only; rewritings in other languages never count as responses."""
    if speaks_as_assistant(evolved):
        return not speaks_as_assistant(before)
    return asks(before) and not asks(evolved)


def speaks_as_assistant(text: str) -> bool:
    """Whether a text that a user should have written speaks as an assistant: it offers help, or refuses."""
    return in_assistants_voice(text) or offers_help(text) or refusal(text) is not None


def same_words(one: str, other: str) -> bool:
    """Whether two texts differ only in punctuation, case and spaces. Signs that distinguish words (C++) count."""
    return _bare_words(one) == _bare_words(other)


def _bare_words(text: str) -> list[str]:
    words = (re.sub(r"^[^\w#+@&%$€£/<>=-]+|[^\w#+@&%$€£/<>=]+$", "", word) for word in text.casefold().split())
    return [word for word in words if word]


def leaks(evolved: str, before: str, operation: str) -> bool:
    """Whether words of the evolving prompt are in the evolved text, and were not there before.

    Detected are words that announce, label or explain a result, and any five consecutive words of the operation's
    prompt or its example.
    """
    if without_remarks(evolved, before) != evolved.strip():
        return True
    announced = {match[0].lower() for match in _ANNOUNCED.finditer(evolved)}
    if announced - {match[0].lower() for match in _ANNOUNCED.finditer(before)}:
        return True
    return bool((_windows(evolved) - _windows(before)) & _prompt_windows(operation))


def _windows(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[start : start + _WINDOW]) for start in range(len(words) - _WINDOW + 1))


@cache
def _prompt_windows(operation: str) -> frozenset[tuple[str, ...]]:
    shown = [_windows(text) for text in EXAMPLES.get(operation, ())]
    return frozenset().union(_windows(render(f"evolve_{operation}", instruction="", response="")), *shown)
