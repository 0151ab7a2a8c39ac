"""Respond: the answer to an instruction, or to a conversation."""

import json

import pyarrow as pa
import pytest

from synth.engines import Sampling
from synth.records import messages_with
from synth.steps.respond import Respond
from tests.steps.fakes import FakeEngine, finish


def turns(*contents, first="user"):
    roles = ["system", "user", "assistant"] if first == "system" else ["user", "assistant"]
    rest = [roles[0]] if first == "system" else []
    roles = rest + ["user", "assistant"] * len(contents)
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]


async def respond(record, engine=None, **keys):
    finished = await finish(Respond(**keys), record=record, engine=engine or FakeEngine(), columns={})
    (row,) = finished.kept + finished.rejected
    return row


async def test_the_instruction_is_answered():
    engine = FakeEngine()
    row = await respond({"instruction": "why?"}, engine)
    assert engine.prompts == ["<user>why?<assistant>"]
    assert (row["instruction"], row["response"], row["finish_reason"]) == ("why?", "words", "stop")
    assert row["messages"] == turns("why?", "words")
    assert row["lineage"] == []


async def test_the_system_prompt_goes_before_it():
    engine = FakeEngine()
    row = await respond({"instruction": "why?", "system_prompt": "be kind"}, engine)
    assert engine.prompts == ["<system>be kind<user>why?<assistant>"]
    assert row["messages"] == turns("be kind", "why?", "words", first="system")


async def test_a_conversation_that_waits_for_an_answer_is_answered():
    engine = FakeEngine()
    row = await respond({"messages": turns("a", "b", "c")}, engine)
    assert engine.prompts == ["<user>a<assistant>b<user>c<assistant>"]
    assert row["messages"] == turns("a", "b", "c", "words")
    assert (row["instruction"], row["response"]) == ("a", "b")


async def test_a_conversation_has_its_own_system_prompt():
    engine = FakeEngine()
    await respond({"messages": turns("own", "why?", first="system"), "system_prompt": "other"}, engine)
    assert engine.prompts == ["<system>own<user>why?<assistant>"]


async def test_a_conversation_that_is_answered_already_leaves_the_instruction_to_be_answered():
    row = await respond({"messages": turns("why?", "old"), "instruction": "why?", "response": "old"})
    assert row["messages"] == turns("why?", "words")


@pytest.mark.parametrize("record", [{}, {"instruction": ""}, {"messages": []}, {"messages": turns("why?", "old")}])
async def test_nothing_to_answer_is_a_rejection(record):
    assert (await respond(record))["reason"] == "no_instruction"


async def test_an_empty_answer_is_a_rejection():
    row = await respond({"instruction": "why?"}, FakeEngine(lambda prompt: " \n"))
    assert (row["reason"], row["instruction"]) == ("empty_response", "why?")


async def test_an_answer_that_was_cut_is_kept_and_says_so():
    row = await respond({"instruction": "why?"}, FakeEngine(lambda prompt: ("half", "length")))
    assert (row["response"], row["finish_reason"]) == ("half", "length")


async def test_answers_are_greedy_unless_told_otherwise():
    engine = FakeEngine()
    await respond({"instruction": "why?"}, engine)
    await respond({"instruction": "why?"}, engine, sampling={"temperature": 0.5})
    assert [sampling.temperature for sampling in engine.samplings] == [0.0, 0.5]


def test_calls_tells_its_one_call():
    assert [call.max_tokens for call in Respond(sampling=Sampling(max_tokens=7)).calls()] == [7]


ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('{"name": "add", "arguments": {"a": 1}}', ""),
        ('I add. <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', "I add."),
    ],
)
async def test_the_tools_of_a_record_are_shown_and_its_calls_are_read(said, text):
    engine = FakeEngine(lambda prompt: said)
    columns = {"tools": pa.string(), "messages": messages_with((), tool_calls=True)}
    record = {"instruction": "1 + 2?", "tools": json.dumps([ADD])}
    (row,) = (await finish(Respond(), record=record, engine=engine, columns={}, declared=columns)).kept
    assert engine.prompts[0].startswith("<tool>add")
    (made,) = row["messages"][-1]["tool_calls"]
    assert (row["messages"][-1]["content"], made["function"]) == (text, {"name": "add", "arguments": '{"a": 1}'})


async def test_an_answer_that_calls_no_tool_of_the_record_stays_text():
    said = '{"name": "multiply", "arguments": {"a": 1}}'
    row = await respond({"instruction": "1 + 2?", "tools": json.dumps([ADD])}, FakeEngine(lambda prompt: said))
    assert row["response"] == said and not row["messages"][-1].get("tool_calls")
