"""Some rows of a dataset for a person's eyes, in a terminal.

Generated text is not to be trusted: control characters, which could move the cursor or paint over what stands there,
are shown as what they are, and nothing in the text is taken for markup.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

LONGEST = 400  # characters of a message


def show_samples(console: Console, dataset: Path, count: int = 3) -> None:
    """The first conversations, a message a paragraph, long ones cut."""
    from datasets import load_from_disk

    show_rows(console, load_from_disk(str(dataset)).select_columns(["id", "messages"]).take(count))


def show_rows(console: Console, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        console.print()
        for message in row["messages"] or []:
            console.print(_paragraph(f"{row['id']} {message['role']}", message["content"] or ""), soft_wrap=True)


def _paragraph(head: str, text: str) -> Text:
    shown = printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
    indented = shown.strip("\n").replace("\n", "\n    ")
    return Text.assemble((printable(head), "bold"), ": ", indented)


def printable(text: str) -> str:
    """The text with control and format characters, newlines apart, spelled out: `\\x1b` for an escape."""
    return "".join(
        character if character == "\n" or unicodedata.category(character)[0] != "C" else _spelled(character)
        for character in text
    )


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()
