"""What a step returned, made fit to be written down, or refused.

Promises: a record that went through `checked` can be written with the dataset's schema, whatever a step put into
it; and it shares no list or dict with what the step holds, so that nobody changes it later.

Knows nothing of engines, of other steps, or of when a row is written.
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
)  # the others are not the steps' to give


def checked(
    record: Record, columns: Mapping[str, pa.DataType], foreign: Mapping[str, Any] = MappingProxyType({})
) -> Record:
    """The record with its texts made valid. Raises Rejection where a value does not fit its column.

    `foreign` are the source's own values that don't (see `unfit`): they may be carried along, and are not written.
    """
    record = clean(record)
    for name, why in _misfits(record, columns):
        if name in without(foreign, record):
            raise Rejection("error", why)
    return record


def unfit(record: Record, columns: Mapping[str, pa.DataType]) -> Record:
    """What of a source's row has the name of a column, one of the dataset's or one that a step adds, and no value that
    fits it."""
    return {name: record[name] for name, _ in _misfits(record, columns)}


def without(foreign: Mapping[str, Any], record: Record) -> Record:
    """The record as it is written: without what is the source's still."""
    return {name: value for name, value in record.items() if name not in foreign or repr(value) != repr(foreign[name])}


def _misfits(record: Record, columns: Mapping[str, pa.DataType]) -> Iterator[tuple[str, str]]:
    """Names, and what is wrong there."""
    for name in _TEXTS:
        if not isinstance(record.get(name), str | None):
            yield name, f"{name} is of type {type(record[name]).__name__}: text is expected"
    if record.get("messages") is not None and not is_conversation(record["messages"]):
        yield "messages", "messages is expected to be a list of {role, content}, both texts"
    elif record.get("messages") and (why := _lost_calls(record, columns)):
        yield "messages", why
    with_calls = has_tool_calls(columns.get("messages", CONTRACT_COLUMNS["messages"]))
    if with_calls and record.get(TOOLS.name) is not None and not _is_json(record[TOOLS.name], list):
        yield TOOLS.name, "tools is expected to be a list of specifications, as JSON"
    for name, kind in columns.items():
        try:
            if name in record:
                pa.scalar(record[name], kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            yield name, f"{name} does not fit its column, of type {kind}: {error}"


def _lost_calls(record: Record, columns: Mapping[str, pa.DataType]) -> str | None:
    """What would become of tool calls that the dataset has no room for, or that nobody could read."""
    if not has_calls(record["messages"]):
        return None
    if not has_tool_calls(columns.get("messages", CONTRACT_COLUMNS["messages"])):
        return "messages has tool calls, for which the dataset has room with 'strategy.columns={tools: string}'"
    for function in (one["function"] for turn in record["messages"] for one in calls_of(turn)):
        if not (isinstance(function.get("name"), str) and _is_json(function.get("arguments"), dict)):
            return f"messages has a tool call whose arguments are no JSON object: {str(function)[:200]}"
    return None


def _is_json(text: Any, kind: type) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), kind)
    except (ValueError, RecursionError):
        return False


def clean(value: Any) -> Any:
    """A copy in which lone surrogates, which no file can hold, are U+FFFD. Tuples become lists."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {clean(key): clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
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
    """A checked record with the contract's columns filled in, messages from the first turn or the other way round."""
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
    """An assistant's turn with what was thought before it. What a source or a step has put there stays."""
    said = ledger.completion(turn["content"]) if turn["role"] == "assistant" else None
    thoughts = said.reasoning if said else None
    return {**turn, **{name: thoughts if turn.get(name) is None else turn[name] for name in fields}}


def _finite(value: Any) -> Any:
    """JSON has neither infinities nor NaN: they are null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value
