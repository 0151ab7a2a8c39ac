"""The texts of a record that a filter checks, and the prose in them."""

import re
from collections.abc import Callable
from typing import Any

from synth.messages import COLUMNS, has_text, messages_of
from synth.records import Needs, Record, Rejection

SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_SIDES = {role: COLUMNS[role] for role in ("user", "assistant")}
_TABLE_ROW = re.compile(r"^[ \t]*\|.*$", re.MULTILINE)
MOST_WORDS_OF_A_VERSE = 12
LEAST_LINES_OF_VERSE = 4
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|«[^»]*»')
_OPENS_QUOTATION = re.compile(r'["“«]')
_FENCED = re.compile(r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)


def texts(record: Record, column: str) -> list[str]:
    """The texts of a column; `user` and `assistant` stand for all turns of that role in the conversation.

    Raises Rejection `no_COLUMN` if there is no text, or one is blank.
    """
    value: Any = record.get(_SIDES.get(column, column))
    if column in _SIDES and (turns := messages_of(record)):
        value = [turn["content"] for turn in turns if turn["role"] == column and has_text(turn)]
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(text, str) and text.strip() for text in found):
        raise Rejection(missing(column), f"{column} is {_shown(value)}")
    return found


def beginnings(record: Record, column: str) -> list[str]:
    """The texts of a column while the last of them is still being written; empty if there are none."""
    try:
        return texts(record, column)
    except Rejection:
        return []


def whole_words(text: str) -> str:
    """The part of a partial text that can't change any more: up to its last space; up to the last line end if the last
    line has code in it."""
    line = text.rfind("\n") + 1
    return text[:line] if "`" in text[line:] else text[: max(line, text.rfind(" ") + 1)]


def whole_lines(text: str) -> str:
    return text[: text.rfind("\n") + 1]


def missing(column: str) -> str:
    """The rejection reason for a missing text."""
    return f"no_{column}"


def columns_of(column: str) -> list[Needs]:
    """The `needs()` of a step that reads `column`."""
    return [{_SIDES[column]: "text", "messages": "conversation"} if column in _SIDES else {column: "texts"}]


def prose(text: str, instead_of_code: str | Callable[[re.Match[str]], str] = "\n") -> str:
    """The text without fenced code, including a last block that is never closed."""
    return _FENCED.sub(instead_of_code, text)


def without_tables(text: str) -> str:
    """The text without the rows of Markdown tables."""
    return _TABLE_ROW.sub("", text)


def unquoted(text: str) -> str:
    """The text with a placeholder for each word in quotation marks, which are not the speaker's own, and with straight
    apostrophes."""
    return _QUOTED.sub(lambda quoted: "_ " * len(quoted[0].split()), text.replace("’", "'"))


def unquoted_beginning(text: str) -> str:
    """The part of `unquoted` that can't change any more: up to an open quotation."""
    return _OPENS_QUOTATION.split(unquoted(text), maxsplit=1)[0]


def is_verse(text: str) -> bool:
    """Whether most lines look like those of a poem or song: short, with a capital, and not all of them sentences."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    short = [
        line for line in lines if line.lstrip("\"'“‘(")[:1].isupper() and len(line.split()) <= MOST_WORDS_OF_A_VERSE
    ]
    sentences = sum(line.endswith((".", "?", ":")) for line in short)
    return len(short) >= max(LEAST_LINES_OF_VERSE, 0.8 * len(lines)) and sentences <= 0.6 * len(short)


def _shown(value: Any) -> str:
    return "null" if value is None else "empty" if isinstance(value, str | list) else type(value).__name__
