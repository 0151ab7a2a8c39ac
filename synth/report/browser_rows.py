"""Rows for the report's row browser: some kept and some rejected ones, of bounded size, as JSON embedded in the page.

The JSON can't end the script element that contains it, and control and format characters are escaped.
"""

import json
from collections.abc import Sequence
from typing import Any

from synth.messages import as_messages, thoughts_of
from synth.printable import printable
from synth.records import CONTRACT_COLUMNS, Record
from synth.report.run_data import Run
from synth.tool_calls import display_text

KEPT, REJECTED = 300, 100  # most rows of a run; fewer of each if there are many runs
LONGEST = 2000  # characters of a text
MOST_TURNS = 12

_ENDS = ("rejected_by", "reason", "detail")


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of all runs, kept ones first, by record number; of further runs those with the first run's ids, if any."""
    rows: list[dict[str, Any]] = []
    ids: list[str] = []
    for place, run in enumerate(runs):
        found = [(True, row) for row in run.rows("kept", most_rows(KEPT, len(runs)), ids)]
        found += [(False, row) for row in run.rows("rejected", most_rows(REJECTED, len(runs)), ids)]
        ids = ids or [row["id"] for _, row in found if row["id"] is not None]
        rows += [shown_row(place, kept, row) for kept, row in found]
    return sorted(rows, key=lambda row: (not row["kept"], row["order"], row["run"]))


def most_rows(of_one: int, runs: int) -> int:
    """The number of rows of each run, in a page that has `of_one` rows of one run, or of each of two."""
    return max(10, 2 * of_one // max(2, runs))


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """JSON that is inert inside <script type="application/json">: it can't contain an end tag or a comment."""
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def shown_row(run: int, kept: bool, row: Record) -> dict[str, Any]:
    messages = row["messages"] or as_messages(row)
    turns = []
    for message in messages[:MOST_TURNS]:
        if thoughts := thoughts_of(message):
            turns.append([text(f"{message['role']} thinks"), text(thoughts)])
        turns.append([text(message["role"]), text(display_text(message))])
    if len(messages) > MOST_TURNS:
        turns.append(["", f"… {len(messages) - MOST_TURNS} more messages"])
    added = {name: value for name, value in row.items() if name not in (*CONTRACT_COLUMNS, *_ENDS)}
    usage = row["usage"] or {}
    return {
        "run": run,
        "order": _order(row["id"]),
        "id": text(row["id"]),
        "kept": kept,
        "why": "" if kept else f"{text(row['rejected_by'])}: {text(row['reason'])}",
        "detail": "" if kept else text(row["detail"]),
        "turns": turns,
        "end": text(row["finish_reason"]),
        "tokens": usage.get("completion_tokens"),
        "columns": [[text(name), text(value)] for name, value in added.items() if value is not None],
        "more": [
            ["tokens", ", ".join(f"{name.removesuffix('_tokens')} {value}" for name, value in usage.items())],
            ["seed", text(row["seed"])],
            ["strategy", text(row["strategy"])],
            ["model", text(row["model"])],
            *([f"lineage: {text(one['step'])}", _round(one)] for one in (row["lineage"] or [])[:MOST_TURNS]),
        ],
    }


def _round(one: dict[str, Any]) -> str:
    return f"{text(one['operation'])}: {text(one['text'])}" if one["operation"] else text(one["text"])


def text(value: object) -> str:
    """Any value as a string of bounded length, with control characters escaped."""
    if value is None:
        return ""
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cut = f"{words[:LONGEST]}… ({len(words) - LONGEST:,} more characters)" if len(words) > LONGEST else words
    return printable(cut.replace("\t", "    "))


def _order(id: str | None) -> list[int]:
    parts = (id or "").split("/")
    return [int(part) if part.isdecimal() and len(part) < 16 else 0 for part in parts]
