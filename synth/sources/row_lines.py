"""A source's row as a line of JSON, with its columns under the names that they are to have.

What JSON has no word for becomes text: dates and times as ISO 8601 has them, bytes as base64.
"""

import base64
import datetime
import json
from collections.abc import Mapping
from typing import Any

from synth.errors import reason
from synth.records import Record
from synth.sources import DEEPEST, Bad, too_deep


def written(row: Any, columns: Mapping[str, str]) -> tuple[Record, bytes] | Bad:
    """The row, renamed by {new name: name in the source}, and its line with its end; Bad for what can't be written."""
    if not isinstance(row, dict):
        return Bad(f"is of type {type(row).__name__}: an object is expected")
    row = _renamed(row, columns) if columns else row
    try:
        line = _JSON.encode(row).encode("utf-8", "surrogatepass") + b"\n"
        if not too_deep(row, line.count(b"{") + line.count(b"[")):
            return row, line
    except RecursionError:
        pass
    except Exception as error:  # of a column's name that is no text, or of whatever a value's own text raises
        return Bad(f"can't be written as JSON: {reason(error)}")
    return Bad(f"is nested more than {DEEPEST} deep")


def _renamed(row: Record, columns: Mapping[str, str]) -> Record:
    moved = {new: row[old] for new, old in columns.items() if old in row}
    gone = {*columns.values(), *columns}
    return {name: value for name, value in row.items() if name not in gone} | moved


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


_JSON = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=_plain)
