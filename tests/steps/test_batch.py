"""AnswerRequest: a request of a batch file and its answer in OpenAI's form."""

import json

import pytest
from openai.types import Completion, CompletionUsage
from openai.types.chat.chat_completion import Choice

from synth.batch.body import chat_request, text_request
from synth.batch.refused import Refused
from synth.configuration.column_types import type_from_text
from synth.steps.batch import AnswerRequest
from synth.steps.strategy import Step, Strategy
from tests.steps.fakes import FakeEngine, finish

COLUMNS = Strategy(
    "batch", [Step("first", AnswerRequest(), {n: type_from_text(k) for n, k in AnswerRequest.columns.items()})]
).columns
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    },
}
CALL = '{"name": "add", "arguments": {"a": 1}}'


async def answer(engine=None, **body):
    """The row of a request."""
    given = {"messages": [{"role": "user", "content": "Hi"}]} | body
    record = {"custom_id": "a", "line": 1, **chat_request(given)}
    finished = await finish(AnswerRequest(), record=record, engine=engine or FakeEngine(), columns=COLUMNS)
    (row,) = finished.kept + finished.rejected
    return row


def choices(row):
    result = json.loads(row["result"])
    CompletionUsage.model_validate(result["usage"])
    return [Choice.model_validate(one) for one in result["choices"]]


async def test_a_request_is_answered_in_openais_form():
    row = await answer()
    (choice,) = choices(row)
    assert (choice.message.content, choice.finish_reason, choice.index) == ("words", "stop", 0)
    assert row["custom_id"] == "a" and row["response"] == "words"
    assert [one["role"] for one in row["messages"]] == ["user", "assistant"]


async def test_each_request_has_its_own_sampling():
    engine = FakeEngine()
    await answer(engine, temperature=0.25, top_p=0.5, max_completion_tokens=7, stop="END", seed=11)
    (sampling,) = engine.samplings
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed) == (0.25, 0.5, 7, 11)
    assert "END" in sampling.stop


async def test_without_a_seed_the_record_has_its_own():
    engine = FakeEngine()
    for _ in range(2):
        await answer(engine)
    first, second = (sampling.seed for sampling in engine.samplings)
    assert first is not None and first == second


async def test_several_answers_have_seeds_one_after_the_other_and_the_prompt_counts_once():
    engine = FakeEngine()
    row = await answer(engine, n=3, seed=5)
    assert sorted(sampling.seed for sampling in engine.samplings) == [5, 6, 7]
    assert [choice.index for choice in choices(row)] == [0, 1, 2]
    usage = json.loads(row["result"])["usage"]
    assert usage["prompt_tokens"] == len(engine.prompts[0]) and usage["completion_tokens"] == 3 * len("words")


async def test_an_answer_that_is_cut_says_so():
    (choice,) = choices(await answer(FakeEngine(lambda _: ("wor", "length"))))
    assert choice.finish_reason == "length"


async def test_calls_are_parsed_and_are_those_of_the_conversation_too():
    row = await answer(FakeEngine(lambda _: f"One moment.<tool_call>{CALL}</tool_call>"), tools=[ADD])
    (choice,) = choices(row)
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 1})
    assert choice.finish_reason == "tool_calls" and choice.message.content == "One moment."
    assert row["messages"][-1]["tool_calls"][0]["id"] == call.id
    assert json.loads(row["tools"]) == [ADD]


async def test_with_parallel_tool_calls_off_there_is_one():
    engine = FakeEngine(lambda _: f"<tool_call>{CALL}</tool_call>" * 2)
    (choice,) = choices(await answer(engine, tools=[ADD], parallel_tool_calls=False))
    assert len(choice.message.tool_calls) == 1


async def test_a_call_that_is_demanded_is_held_by_the_engine():
    engine = FakeEngine(lambda _: f'{{"tool_calls": [{CALL}]}}')
    for wanted in ("required", {"type": "function", "function": {"name": "add"}}):
        (choice,) = choices(await answer(engine, tools=[ADD], tool_choice=wanted))
        assert choice.message.tool_calls[0].function.name == "add"
    assert all(sampling.json_schema for sampling in engine.samplings)


async def test_a_text_is_continued_without_the_chat_template():
    engine = FakeEngine(lambda _: " a time\n")
    record = {"custom_id": "a", "line": 1, **text_request({"prompt": "Once upon", "n": 2, "seed": 3})}
    finished = await finish(AnswerRequest(), record=record, engine=engine, columns=COLUMNS)
    (row,) = finished.kept
    assert engine.prompts == ["Once upon"] * 2 and sorted(sampling.seed for sampling in engine.samplings) == [3, 4]
    result = json.loads(row["result"])
    body = Completion.model_validate(result | {"id": "x", "created": 1, "model": "fake"}, strict=True)
    assert [choice.text for choice in body.choices] == [" a time\n"] * 2
    assert (row["instruction"], row["response"]) == ("Once upon", " a time\n")


async def test_a_schema_is_held_by_the_engine_or_is_an_error():
    engine = FakeEngine(lambda _: "{}")
    form = {"type": "json_object"}
    await answer(engine, response_format=form)
    assert engine.samplings[0].json_schema == {"type": "object"}
    engine.holds = frozenset()
    row = await answer(engine, response_format=form)
    assert row["reason"] == "unsupported_parameter" and json.loads(row["result"])["code"] == "unsupported_parameter"


async def test_a_prompt_that_is_too_long_is_openais_error():
    row = await answer(FakeEngine(max_model_len=10))
    error = json.loads(row["result"])
    assert row["reason"] == error["code"] == "context_length_exceeded" and error["type"] == "invalid_request_error"


async def test_what_the_engine_refuses_is_the_requests_error():
    def refuse(prompt):
        raise ValueError("no such token")

    row = await answer(FakeEngine(refuse))
    assert row["reason"] == "invalid_request" and "no such token" in json.loads(row["result"])["message"]


async def test_a_line_that_was_refused_keeps_its_error():
    error = Refused("invalid_url", "url: is wrong", "url").error
    finished = await finish(AnswerRequest(), record={"custom_id": "a", "line": 4, "refused": error}, columns=COLUMNS)
    (row,) = finished.rejected
    assert (row["custom_id"], row["line"], row["reason"]) == ("a", 4, "invalid_url")
    assert json.loads(row["result"]) == error


@pytest.mark.parametrize("text", ["", " \n", "\ud800 and more", '"quoted" \u2028'])
async def test_any_text_is_valid_json(text):
    (choice,) = choices(await answer(FakeEngine(lambda _: text)))
    assert choice.message.role == "assistant"
