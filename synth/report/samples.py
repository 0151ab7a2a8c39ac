"""Prints sample rows of a dataset in a terminal.

Generated text is not trusted: control characters, which could move the cursor or overwrite text, are escaped, and no
text is interpreted as markup.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from synth.messages import as_messages, thoughts_of
from synth.printable import printable
from synth.records import CONTRACT_COLUMNS
from synth.tool_calls import display_text

LONGEST = 400  # characters of a message
SHORT = 80  # characters of another column
_REJECTION = ("rejected_by", "reason", "detail")


def show_samples(console: Console, dataset: Path, count: int = 3) -> None:
    """The first rows: a paragraph per message, truncated, and the columns beside the contract's."""
    from datasets import load_from_disk

    show_rows(console, load_from_disk(str(dataset)).take(count))


def show_rows(console: Console, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        console.print()
        for message in row["messages"] or as_messages(dict(row)):
            if thoughts := thoughts_of(message):
                console.print(_paragraph(f"{row['id']} {message['role']} thinks", thoughts), soft_wrap=True)
            console.print(_paragraph(f"{row['id']} {message['role']}", display_text(message)), soft_wrap=True)
        if row.get("rejected_by"):
            why = f": {row['detail']}" if row.get("detail") else ""
            console.print(
                _paragraph(f"{row['id']} rejected by {row['rejected_by']}", f"{row['reason']}{why}"), soft_wrap=True
            )
        if columns := _columns(row):
            console.print(_paragraph(f"{row['id']} columns", columns), soft_wrap=True)


def _paragraph(head: str, text: str) -> Text:
    shown = printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
    indented = shown.strip("\n").replace("\n", "\n    ")
    return Text.assemble((printable(head), "bold"), ": ", indented)


def _columns(row: Mapping[str, Any]) -> str:
    """The columns beside the contract's in one line: `task: Say a word.; judge_score: 4`."""
    names = [name for name in row if name not in CONTRACT_COLUMNS and name not in _REJECTION and row[name] is not None]
    texts = {name: " ".join(str(row[name]).split()) for name in names}
    short = {name: text if len(text) <= SHORT else f"{text[:SHORT]}…" for name, text in texts.items()}
    return "; ".join(f"{name}: {text}" for name, text in short.items())
