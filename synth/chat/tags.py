"""Derives from template and tokenizer how a model marks its reasoning, mostly by `<think>` and `</think>`.

A template shows it if it writes an earlier answer with its reasoning, or an empty pair for an answer without. Some
describe it in a system prompt that they insert, or begin the answer with it. A thinking model's tokenizer mostly has
the pair among its control tokens. If there is no hint, it is that pair, as plain text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from synth.chat.probe import THOUGHTS, USER, Probe
from synth.chat.rendering import SPEAKS_OF_THINKING
from synth.chat.special_tokens import SpecialTokens

DEFAULT = ("<think>", "</think>")
_OF_THINKING = re.compile("think|thought|channel", re.IGNORECASE)
_OF_SETTINGS = re.compile("effort|mode|length|budget|level|max|strength|tokens", re.IGNORECASE)
_OF_ANSWERS = re.compile("answer|response|reply|output|solution|result|final|conclu", re.IGNORECASE)
# Marks as described in a system prompt: <Thought>, [BEGIN FINAL RESPONSE], 'Here is my response:'
_MARK = re.compile(r"<(?![|/])[\w -]{3,30}>|\[(?!/)[A-Z][A-Z _]{2,40}\]|(?<=['\"“`])[^'\"“”`\n]{3,60}:(?=['\"”`])")


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks around reasoning. Without a `start` a model always begins with it. `around` may enclose the answer that
    follows. `is_told` is false if there was no hint."""

    start: str = DEFAULT[0]
    end: str = DEFAULT[1]
    around: tuple[str, str] | None = None
    is_told: bool = True


def thinking_marks(probe: Probe, special_tokens: SpecialTokens, prompts: Iterable[str]) -> Marks:
    """`prompts` are possible prompts of an answer, the default first."""
    prompts = list(prompts)
    pair = _shown(probe, special_tokens) or _left_empty(probe, special_tokens, map(probe.after_words, prompts))
    if pair is not None:
        return Marks(*pair)
    if marks := next(filter(None, (_in_words(probe, special_tokens, prompt) for prompt in prompts)), None):
        return marks
    pair = _spelled(special_tokens)
    return Marks(*pair) if pair else Marks(is_told=False)


def _shown(probe: Probe, special_tokens: SpecialTokens) -> tuple[str, str] | None:
    """The control tokens right around the reasoning of an earlier answer."""
    before, shown, after = probe.before_answer(thinks=True).partition(THOUGHTS)
    opening = [part for part in special_tokens.split(before) if part[0].strip()]
    closing = [part for part in special_tokens.split(after) if part[0].strip()]
    match opening[-1:], closing[:1]:
        case [(start, True)], [(end, True)] if shown:
            return start, end
    return None


def _in_words(probe: Probe, special_tokens: SpecialTokens, prompt: str) -> Marks | None:
    """Marks that the template describes in its own prompt; and words with which it begins the answer."""
    before, _, after = prompt.partition(USER)
    found = [
        tag for tag in dict.fromkeys(_MARK.findall(before)) if tag not in special_tokens.ids or _closed(tag) in before
    ]
    thoughts = [tag for tag in found if SPEAKS_OF_THINKING.search(tag) and not _OF_SETTINGS.search(tag)]
    answers = [tag for tag in found if _OF_ANSWERS.search(tag) and tag not in thoughts]
    for start in thoughts:
        if start[0] == "<" or _closed(start) in before:
            return Marks(start, _closed(start), (answers[0], _closed(answers[0])) if answers else None)
    answers = [answer for answer in answers if answer[0] != "<"]  # a single tag proves nothing: tools have tags too
    if not answers:
        return None
    end = answers[0]
    around = ("", _closed(end))
    begun = [text.strip() for text, is_control in special_tokens.split(after) if not is_control][-1:]
    for start in [*(tag for tag in begun if SPEAKS_OF_THINKING.search(tag)), *thoughts]:
        return Marks(start, end, around)
    speaks = SPEAKS_OF_THINKING.search(before)
    return Marks("", end, around) if speaks and end in probe.question(system="Be kind.") else None


def _closed(mark: str) -> str:
    """The counterpart of a mark: `</Thought>`, `[/THINK]`, `[END FINAL RESPONSE]`."""
    return mark.replace("BEGIN", "END") if "BEGIN" in mark else mark[:1] + "/" + mark[1:]


def _left_empty(probe: Probe, special_tokens: SpecialTokens, prompts: Iterable[str]) -> tuple[str, str] | None:
    """The pair that a generation prompt has and an earlier answer lacks: `<|channel>thought\\n<channel|>`."""
    heading = probe.between_user_and_answer()
    for prompt in prompts:
        goes_on = heading and prompt.startswith(heading)
        match [part for part in special_tokens.split(prompt.removeprefix(heading)) if goes_on and part[0].strip()]:
            case [(start, True), (end, True)]:
                return start, end
            case [(start, True), (name, False), (end, True)]:
                return start + name.strip(), end
    return None


def _spelled(special_tokens: SpecialTokens) -> tuple[str, str] | None:
    """A control token named after thinking, and its counterpart: `[/THINK]`, `<|END_THINKING|>`, `<channel|>`."""
    for start in filter(_OF_THINKING.search, special_tokens.ids):
        ends = {start[:1] + "/" + start[1:], start.replace("START", "END"), re.sub("start|begin", "end", start)}
        ends.add(start.replace("<|", "<").replace(">", "|>"))
        for end in sorted(ends & special_tokens.ids.keys() - {start}):
            return start, end
    return None
