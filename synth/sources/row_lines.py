"""A source's row as a line of JSON, with renamed columns.

Values that JSON lacks become strings: dates and times in ISO 8601, bytes in base64.
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
    """The row, renamed by {new name: name in the source}, and its line; Bad if it can't be written."""
    if not isinstance(row, dict):
        return Bad(f"is {type(row).__name__}, expected an object")
    row = _renamed(row, columns) if columns else row
    try:
        line = _JSON.encode(row).encode("utf-8", "surrogatepass") + b"\n"
        if not too_deep(row, line.count(b"{") + line.count(b"[")):
            return row, line
    except RecursionError:
        pass
    except Exception as error:  # of a column name that is no string, or of a value's own __str__
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
