"""Derives the stop of a turn from the text that a template writes between two speakers.

Only control tokens become stop ids: a newline or a role's name never does, however often it closes a turn. If a
template marks turns in plain text, the next speaker's heading becomes a stop string.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from synth.chat.special_tokens import SpecialTokens


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends generation: any of these ids, or any of these strings in the text."""

    token_ids: tuple[int, ...] = ()
    strings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.token_ids or self.strings)

    def __or__(self, other: "Stop") -> "Stop":
        return Stop(
            tuple(dict.fromkeys(self.token_ids + other.token_ids)),
            tuple(dict.fromkeys(self.strings + other.strings)),
        )


def stop_at(between: str, special_tokens: SpecialTokens, within: Collection[str] = ()) -> Stop:
    """The stop for the text between one speaker's words and the next one's.

    Control tokens before the first word count: what closes the turn, and what opens the next heading. If there are
    special tokens, only these: `<think>` after an assistant's heading closes no user's turn. Words that come first are
    a stop string: the next heading, or what the template appends to a user's words (`/nothink`).

    The control tokens `within` occur inside a speaker's turn and end nothing, nor does the text between them.
    """
    ids: list[int] = []
    strings: list[str] = []
    skipped = False
    for stretch, is_control in special_tokens.split(between):
        if is_control and stretch in within:
            skipped = True
        elif is_control:
            if (ids or strings) and stretch not in special_tokens.special:
                break
            ids.append(special_tokens.ids[stretch])
        elif stretch.strip() and not skipped:
            if ids or strings:
                break
            strings.append(_heading(stretch))
    return Stop(tuple(dict.fromkeys(ids)), tuple(strings))


def stop_by_hand(given: Iterable[str], special_tokens: SpecialTokens) -> Stop:
    """Configured strings; a string that spells a control token stands for that token."""
    given = list(given)
    return Stop(
        tuple(special_tokens.ids[text] for text in given if text in special_tokens.ids),
        tuple(text for text in given if text not in special_tokens.ids),
    )


def stop_at_ids(ids: Sequence[int | None]) -> Stop:
    return Stop(tuple(dict.fromkeys(id for id in ids if id is not None)))


def _heading(text: str) -> str:
    """The first line with words, after a newline, or before a word the space that separates it from prose."""
    words = text.strip().split("\n")[0].rstrip()
    before = text[: len(text) - len(text.lstrip())]
    if "\n" in before:
        return "\n" + words
    return before[-1:] + words if words[0].isalnum() else words
