"""Takes the default system prompt out of a pre-query prompt, for templates that insert one.

A later turn shows what stands before a user's words when no system prompt is in the way: the heading. The first
turn's prompt is a lead (BOS and the like), the default system prompt in the template's dress, and the heading; or,
where the template folds it into the user's message, the heading and then the prompt. Lead and heading stay.

Knows nothing of rendering.
"""

import itertools
import re
from collections.abc import Collection

from synth.chat.guard import Guard


def without_default(start: str, later: str, guard: Guard, bos: str | None, closers: Collection[str]) -> str | None:
    """`start` without its default system prompt, or as it is if it has none; None if that can't be told.

    `start` is the first turn's pre-query prompt, `later` all that a template writes between an answer and the user's
    next words. Control tokens among `closers` end a turn, unless they open the conversation too.
    """
    openers = leading_controls(start, guard)
    closers = [text for text in closers if text not in openers]
    heading = _skip(later, guard, closers)
    if heading not in start:
        heading = _skip(_common_end(start, heading, guard), guard, closers)
    if not heading:
        return None
    at = start.rindex(heading)
    lead = _lead(start[:at], heading, guard, bos)
    dropped = start[len(lead) : at] + start[at + len(heading) :]
    says_something = any(re.search(r"\w", text) for text, is_control in guard.split(dropped) if not is_control)
    return lead + heading if says_something else start


def leading_controls(text: str, guard: Guard) -> list[str]:
    """The control tokens before the first word."""
    found = []
    for stretch, is_control in guard.split(text):
        if is_control:
            found.append(stretch)
        elif stretch.strip():
            break
    return found


def _skip(text: str, guard: Guard, unwanted: Collection[str]) -> str:
    """The text without these control tokens, and without whitespace, at its start."""
    for stretch, is_control in guard.split(text):
        if stretch not in unwanted if is_control else stretch.strip():
            break
        text = text.removeprefix(stretch)
    return text.lstrip()


def _common_end(one: str, other: str, guard: Guard) -> str:
    """What both end with, control tokens whole."""
    common = ""
    pairs = zip(reversed(list(guard.split(one))), reversed(list(guard.split(other))), strict=False)
    for (a, a_is_control), (b, b_is_control) in pairs:
        if a == b:
            common = a + common
            continue
        if not a_is_control and not b_is_control:
            same = itertools.takewhile(lambda ends: ends[0] == ends[1], zip(reversed(a), reversed(b), strict=False))
            common = "".join(end for end, _ in same)[::-1] + common
        break
    return common


def _lead(before: str, heading: str, guard: Guard, bos: str | None) -> str:
    """What opens the whole conversation, of the text before the user's heading.

    It ends where another heading opens as the user's does (`<|im_start|>`). If none does, it is the control tokens at
    the very start, but for the last, which opens the system prompt unless it is BOS.
    """
    opening, is_control = next(guard.split(heading))
    if is_control and opening in before:
        return before[: before.index(opening)]
    lead = done = 0
    for text, is_control in guard.split(before):
        if is_control:
            lead = done + len(text) if text == bos else done
        elif text.strip():
            return before[:lead]
        done += len(text)
    return before  # control tokens only: no prompt is in there
