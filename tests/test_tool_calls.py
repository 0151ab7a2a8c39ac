"""Tool calls in records: one form, whatever a source has, and a type that all rows of a dataset share."""

import asyncio
import json

import pyarrow as pa
import pytest

from synth.records import dataset_schema, has_tool_calls, messages_with, thoughts_in
from synth.steps.strategy import Step, Strategy
from synth.tool_calls import canonical, specifications
from tests.steps.fakes import finish

ADD = {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}
USER = {"role": "user", "content": "Add one."}
RESULT = {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "add"}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TURNS = [
    USER,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    RESULT,
    {"role": "assistant", "content": "It is 3."},
]

SEEDS = {
    "OpenAI's": {"content": None, "tool_calls": [CALL]},
    "with objects": {"tool_calls": [CALL | {"function": {"name": "add", "arguments": {"a": 1, "b": None}}}]},
    "of a column": {"content": "", "tool_calls": [CALL], "tool_call_id": None, "name": None},
}


def keep(record, llm):
    return record


def kept(record, columns=None):
    declared = {"tools": pa.string()} if columns is None else columns
    return asyncio.run(finish(keep, record=record, columns={}, declared=declared))


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize(
    "tools", [[ADD], json.dumps([ADD]), [{"type": "function", "function": ADD | {"strict": None}}]]
)
def test_seeds_with_tool_calls_are_kept_as_they_are(kind, tools):
    turns = [USER, {"role": "assistant"} | SEEDS[kind], RESULT, TURNS[-1]]
    (row,) = kept({"messages": turns, "tools": tools}).kept
    assert [{k: v for k, v in turn.items() if v is not None} for turn in row["messages"]] == TURNS
    assert specifications(row["tools"]) == [{"type": "function", "function": ADD}]
    assert (row["instruction"], row["response"]) == ("Add one.", "It is 3.")


def test_a_call_without_an_id_has_none_and_a_flat_one_is_read():
    turn = {"role": "assistant", "tool_calls": [{"name": "add", "arguments": {"a": 1}}]}
    (call,) = canonical({"messages": [USER, turn]})["messages"][1]["tool_calls"]
    assert call == CALL | {"id": None}


def test_a_dataset_has_room_for_calls_only_where_a_step_or_the_strategy_has_a_column_tools():
    assert "messages" not in Strategy("test", [Step("one", keep, {})]).columns
    for step, declared in (
        (Step("one", keep, {"tools": pa.string()}), None),
        (Step("one", keep, {}), {"tools": pa.string()}),
    ):
        columns = Strategy("test", [step], declared).columns
        assert columns["messages"] == messages_with([], tool_calls=True)
    thinking = Strategy("test", [step], declared, of_model={"messages": messages_with(["thinking"])}).columns[
        "messages"
    ]
    assert has_tool_calls(thinking) and thoughts_in(thinking) == ["thinking"]


def test_tool_calls_of_a_step_without_room_for_them_are_an_error_and_none_is_lost():
    def step(record, llm):
        return record | {"messages": TURNS}

    finished = asyncio.run(finish(step, record={}, columns={}))
    assert "strategy.columns={tools: string}" in finished.rejected[0]["detail"]


@pytest.mark.parametrize("arguments", ["{", "[1]", None])
def test_arguments_that_are_no_json_object_are_no_call(arguments):
    broken = CALL | {"function": {"name": "add", "arguments": arguments}}

    def step(record, llm):
        return record | {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [broken]}]}

    finished = asyncio.run(finish(step, record={}, columns={"tools": pa.string()}))
    assert "not a JSON object" in finished.rejected[0]["detail"]


def test_the_columns_type_takes_every_row():
    schema = dataset_schema({"tools": pa.string(), "messages": messages_with([], tool_calls=True)})
    rows = [{"messages": TURNS, "tools": "[]"}, {"messages": [USER], "tools": None}]
    assert pa.RecordBatch.from_pylist(rows, schema).to_pylist()[0]["messages"][1]["tool_calls"] == [CALL]
