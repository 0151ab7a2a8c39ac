"""Validates what a step returned, and makes rows of it.

Promises: a record from `checked` can be written with the dataset's schema, whatever a step put into it; and it shares
no list or dict with the step, so that it never changes later.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from synth.messages import as_messages, first_turn, is_conversation
from synth.records import CONTRACT_COLUMNS, TOOLS, Record, Rejection, derive_seed, has_tool_calls, thoughts_in
from synth.steps.ledger import Ledger
from synth.tool_calls import calls_of, has_calls

EXTRA = "extra"
_TEXTS = (
    "instruction",
    "response",
    "system_prompt",
    "finish_reason",
)  # steps don't write the others


def checked(
    record: Record, columns: Mapping[str, pa.DataType], foreign: Mapping[str, Any] = MappingProxyType({})
) -> Record:
    """The record with valid Unicode. Raises Rejection if a value does not fit its column.

    `foreign` are the source's own values that don't fit (see `unfit`): they may be passed on, and are not written.
    """
    record = clean(record)
    for name, why in _misfits(record, columns):
        if name in without(foreign, record):
            raise Rejection("error", why)
    return record


def unfit(record: Record, columns: Mapping[str, pa.DataType]) -> Record:
    """Values of a source's row that have the name of a column, of the dataset or a step, and don't fit it."""
    return {name: record[name] for name, _ in _misfits(record, columns)}


def without(foreign: Mapping[str, Any], record: Record) -> Record:
    """The record as it is written: without the source's values that don't fit."""
    return {name: value for name, value in record.items() if name not in foreign or repr(value) != repr(foreign[name])}


def _misfits(record: Record, columns: Mapping[str, pa.DataType]) -> Iterator[tuple[str, str]]:
    """Names of columns, and what is wrong with their values."""
    for name in _TEXTS:
        if not isinstance(record.get(name), str | None):
            yield name, f"{name} is {type(record[name]).__name__}, but must be text"
    if record.get("messages") is not None and not is_conversation(record["messages"]):
        yield "messages", "messages must be a list of {role, content}, both text"
    elif record.get("messages") and (why := _lost_calls(record, columns)):
        yield "messages", why
    with_calls = has_tool_calls(columns.get("messages", CONTRACT_COLUMNS["messages"]))
    if with_calls and record.get(TOOLS.name) is not None and not _is_json(record[TOOLS.name], list):
        yield TOOLS.name, "tools must be a list of specifications, as JSON"
    for name, kind in columns.items():
        try:
            if name in record:
                pa.scalar(record[name], kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            yield name, f"{name} does not fit its column of type {kind}: {error}"


def _lost_calls(record: Record, columns: Mapping[str, pa.DataType]) -> str | None:
    """An error for tool calls that the dataset has no column for, or that no program could read."""
    if not has_calls(record["messages"]):
        return None
    if not has_tool_calls(columns.get("messages", CONTRACT_COLUMNS["messages"])):
        return "messages has tool calls: give the dataset their column by 'strategy.columns={tools: string}'"
    for function in (call["function"] for turn in record["messages"] for call in calls_of(turn)):
        if not (isinstance(function.get("name"), str) and _is_json(function.get("arguments"), dict)):
            return f"messages has a tool call whose arguments are not a JSON object: {str(function)[:200]}"
    return None


def _is_json(text: Any, kind: type) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), kind)
    except (ValueError, RecursionError):
        return False


def clean(value: Any) -> Any:
    """A copy with lone surrogates, which can't be encoded, as U+FFFD. Tuples become lists."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {clean(key): clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def row(
    id: str,
    record: Record,
    ledger: Ledger,
    columns: Mapping[str, pa.DataType],
    *,
    strategy: str,
    model: str,
    seed: int,
) -> Record:
    """A checked record with all columns of the contract; `messages` from the first turn or the reverse."""
    filled: dict[str, Any] = dict.fromkeys(CONTRACT_COLUMNS) | record
    if filled["messages"] is None:
        filled["messages"] = as_messages(filled)
    for name, kind in columns.items():
        if (fields := thoughts_in(kind)) and filled.get(name):
            filled[name] = [_with_thoughts(turn, fields, ledger) for turn in filled[name]]
    filled |= {name: text for name, text in first_turn(filled["messages"]).items() if filled[name] is None}
    undeclared = {name: value for name, value in record.items() if name not in {*CONTRACT_COLUMNS, *columns}}
    if EXTRA in columns and EXTRA not in record and undeclared:
        filled[EXTRA] = clean(json.dumps(_finite(undeclared), ensure_ascii=False, default=str, skipkeys=True))
    fixed = {
        "id": id,
        "strategy": strategy,
        "model": model,
        "seed": derive_seed(seed, id),
        "lineage": clean(ledger.lineage),
        "usage": asdict(ledger.usage),
        "finish_reason": filled["finish_reason"] or ledger.finish_reason,
    }
    return {name: value for name, value in (filled | fixed).items() if name not in undeclared}


def _with_thoughts(turn: Mapping[str, Any], fields: Sequence[str], ledger: Ledger) -> dict[str, Any]:
    """An assistant's turn with its reasoning. Reasoning from a source or a step is kept."""
    completion = ledger.completion(turn["content"]) if turn["role"] == "assistant" else None
    thoughts = completion.reasoning if completion else None
    return {**turn, **{name: thoughts if turn.get(name) is None else turn[name] for name in fields}}


def _finite(value: Any) -> Any:
    """With infinities and NaN, which JSON lacks, as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
