"""The two texts between which a model thinks, `<think>` and `</think>` for most, told from its template and tokenizer.

A template that lets a model answer without thinking writes an empty pair for it; a tokenizer whose model thinks
mostly has the pair among its control tokens. Where neither tells, they are `<think>` and `</think>`, as words.

Knows nothing of what a model says.
"""

import re
from collections.abc import Iterable

from synth.chat.guard import Guard
from synth.chat.probe import Probe

DEFAULT = ("<think>", "</think>")
_OF_THINKING = re.compile("think|thought|channel", re.IGNORECASE)


def thinking_tags(probe: Probe, guard: Guard, prompts: Iterable[str]) -> tuple[str, str]:
    """`prompts` are what may follow a user's words, the default first."""
    return _left_empty(probe, guard, prompts) or _spelled(guard) or DEFAULT


def _left_empty(probe: Probe, guard: Guard, prompts: Iterable[str]) -> tuple[str, str] | None:
    """The pair that a generation prompt has and an earlier answer has not: `<|channel>thought\\n<channel|>`."""
    heading = probe.between_user_and_answer()
    for prompt in prompts:
        goes_on = heading and prompt.startswith(heading)
        match [one for one in guard.split(prompt.removeprefix(heading)) if goes_on and one[0].strip()]:
            case [(start, True), (end, True)]:
                return start, end
            case [(start, True), (name, False), (end, True)]:
                return start + name.strip(), end
    return None


def _spelled(guard: Guard) -> tuple[str, str] | None:
    """A control token that speaks of thinking, and its counterpart: `[/THINK]`, `<|END_THINKING|>`, `<channel|>`."""
    for start in filter(_OF_THINKING.search, guard.ids):
        ends = {start[:1] + "/" + start[1:], start.replace("START", "END"), re.sub("start|begin", "end", start)}
        ends.add(start.replace("<|", "<").replace(">", "|>"))
        for end in sorted(ends & guard.ids.keys() - {start}):
            return start, end
    return None
