"""The road of one record through a strategy, whatever its steps do."""

import asyncio
import json

import pyarrow as pa
import pytest

from synth.engines import EngineError
from synth.records import CONTRACT_COLUMNS, Rejection, dataset_schema, derive_seed, rejected_schema
from tests.steps.fakes import FakeEngine, context, finish


async def answer(record, llm):
    said = await llm.chat("question", temperature=0.2)
    return record | {"instruction": "question", "response": said.text}


async def only(step, **given):
    """The one row of a record with one step, kept or rejected."""
    finished = await finish(step, **given)
    (row,) = finished.kept + finished.rejected
    return row


def as_arrow(rows, schema):
    return pa.RecordBatch.from_pylist(rows, schema).to_pylist()


async def test_a_kept_row_has_every_column_of_the_contract():
    row = await only(answer, columns={})
    assert list(row) == list(CONTRACT_COLUMNS)
    assert as_arrow([row], dataset_schema()) == [row]


async def test_messages_are_made_of_the_first_turn():
    row = await only(answer)
    assert row["messages"] == [{"role": "user", "content": "question"}, {"role": "assistant", "content": "words"}]


async def test_the_first_turn_is_read_from_messages():
    turns = [("system", "be kind"), ("user", "hello"), ("assistant", "hi"), ("user", "more"), ("assistant", "no")]
    messages = [{"role": role, "content": content} for role, content in turns]
    row = await only(lambda record, llm: {"messages": messages})
    assert (row["system_prompt"], row["instruction"], row["response"]) == ("be kind", "hello", "hi")
    assert row["messages"] == messages


async def test_a_changed_response_makes_the_old_conversation_stale():
    def rewrite(record, llm):
        return record | {"response": "better"}

    finished = await finish(answer, rewrite, record={"messages": [{"role": "user", "content": "old"}]})
    assert finished.kept[0]["messages"][-1]["content"] == "better"


async def test_a_step_may_be_a_plain_function():
    assert (await only(lambda record, llm: record | {"response": "yes"}))["response"] == "yes"


async def test_a_step_may_change_the_record_in_place():
    async def shout(record, llm):
        record["instruction"] = record["instruction"].upper()
        return record

    row = await only(shout, record={"instruction": "why"})
    assert row["instruction"] == "WHY"
    assert row["lineage"] == [{"step": "first", "text": "WHY", "operation": None, "model": None}]


async def test_several_records_become_rows_with_paths_as_ids():
    async def split(record, llm):
        return [{"instruction": "a"}, Rejection("twin"), {"instruction": "c"}]

    finished = await finish(split, answer, number=17)
    assert [row["id"] for row in finished.kept] == ["17/0", "17/2"]
    assert [(row["id"], row["reason"], row["rejected_by"]) for row in finished.rejected] == [("17/1", "twin", "first")]


async def test_a_fan_out_of_a_fan_out_has_longer_paths():
    def split(record, llm):
        return [dict(record), dict(record)]

    finished = await finish(split, split, number=3)
    assert [row["id"] for row in finished.kept] == ["3/0/0", "3/0/1", "3/1/0", "3/1/1"]


async def test_the_tokens_of_a_fan_out_add_up_to_what_was_spent():
    async def split(record, llm):
        await llm.chat("four")
        return [{"instruction": "a"}, {"instruction": "b"}, Rejection("no")]

    engine = FakeEngine()
    finished = await finish(split, answer, engine=engine)
    spent = sum(row["usage"]["prompt_tokens"] for row in finished.kept + finished.rejected)
    assert spent == sum(map(len, engine.prompts))
    assert [row["usage"]["completion_tokens"] for row in finished.kept] == [10, 5]


async def test_what_was_spent_is_told_by_row_and_step_and_once():
    async def split(record, llm):
        await llm.chat("four")
        return [{"instruction": "a"}, {"instruction": "b"}, Rejection("no")]

    finished = await finish(split, answer)
    calls = {id: {step: one.calls for step, one in steps.items()} for id, steps in finished.spent.items()}
    assert calls == {"0/0": {"first": 1, "second": 1}, "0/1": {"second": 1}, "0/2": {}}
    for row in finished.kept + finished.rejected:
        assert row["usage"]["completion_tokens"] == sum(
            one.completion_tokens for one in finished.spent[row["id"]].values()
        )


async def test_branches_run_side_by_side():
    both = asyncio.Barrier(2)

    async def meet(record, llm):
        await both.wait()
        return record

    async with asyncio.timeout(1):
        finished = await finish(lambda record, llm: [{}, {}], meet)
    assert len(finished.kept) == 2


async def test_no_records_at_all_is_a_rejection():
    assert (await only(lambda record, llm: []))["reason"] == "nothing_returned"


async def test_a_rejection_may_be_returned_or_raised():
    async def raises(record, llm):
        raise Rejection("dull", "nothing new\nin it")

    returned = await only(lambda record, llm: Rejection("dull", "nothing new\nin it"))
    assert await only(raises) == returned
    assert (returned["reason"], returned["detail"], returned["rejected_by"]) == ("dull", "nothing new in it", "first")


async def test_a_rejection_keeps_the_record_as_far_as_it_came_and_its_cost():
    finished = await finish(answer, lambda record, llm: Rejection("dull"), columns={})
    (row,) = finished.rejected
    assert (row["instruction"], row["response"], row["usage"]["completion_tokens"]) == ("question", "words", 5)
    assert as_arrow([row], rejected_schema()) == [row]


async def test_a_rejection_may_bring_the_record_further():
    row = await only(lambda record, llm: Rejection("cut", record={"response": "half a"}), record={"instruction": "q"})
    assert (row["instruction"], row["response"]) == ("q", "half a")


async def test_a_failed_step_leaves_the_record_as_it_came():
    async def spoil(record, llm):
        record["instruction"] = 5
        record["messages"].append("nonsense")
        raise ValueError("oh")

    row = await only(spoil, record={"instruction": "q", "messages": [{"role": "user", "content": "q"}]})
    assert row["instruction"] == "q"
    assert row["messages"] == [{"role": "user", "content": "q"}]


async def test_an_exception_is_a_rejection_that_tells_where_it_was_raised():
    async def divide(record, llm):
        return record | {"score": 1 / 0}

    row = await only(divide)
    assert row["reason"] == "error"
    assert row["detail"].startswith("ZeroDivisionError: division by zero (test_chain.py:")


@pytest.mark.parametrize("returned", [None, 5, "text", [5], {1}, ({}, "text")])
async def test_what_is_no_record_is_a_rejection(returned):
    row = (await finish(lambda record, llm: returned)).rejected[0]
    assert row["reason"] == "error"
    assert "a step must return a record" in row["detail"]


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        ({"instruction": 5}, "instruction is int, but must be text"),
        ({"response": b"bytes"}, "response is bytes, but must be text"),
        ({"finish_reason": ["stop"]}, "finish_reason is list, but must be text"),
        ({"messages": "hello"}, "messages must be a list of {role, content}, both text"),
        ({"messages": [{"role": "user"}]}, "messages must be a list of {role, content}, both text"),
    ],
)
async def test_a_value_of_a_wrong_type_is_a_rejection(record, detail):
    row = await only(lambda _record, llm: record)
    assert (row["reason"], row["detail"]) == ("error", detail)


async def test_a_record_that_holds_itself_is_a_rejection():
    def knot(record, llm):
        record["self"] = record
        return record

    assert (await only(knot))["reason"] == "error"


async def test_what_steps_say_of_the_columns_that_are_not_theirs_is_not_heard():
    row = await only(
        lambda record, llm: {"id": 5, "seed": "x", "usage": None, "model": 1, "strategy": [], "lineage": 2}
    )
    assert (row["id"], row["model"], row["strategy"], row["seed"]) == ("0", "fake", "test", derive_seed(0, "0"))


async def test_text_that_no_file_can_hold_is_mended():
    torn = "a\ud800b"

    def tear(record, llm):
        llm.note(torn)
        return {"instruction": torn, "messages": [{"role": "user", "content": torn}], "other": torn}

    row = await only(tear)
    assert row["instruction"] == row["messages"][0]["content"] == row["lineage"][0]["text"] == "a�b"
    assert as_arrow([row], dataset_schema({"extra": pa.string()})) == [row]


async def test_text_that_a_rejection_says_is_mended_too():
    row = await only(lambda record, llm: Rejection("no", "a\ud800b"), columns={})
    assert as_arrow([row], rejected_schema()) == [row]


async def test_a_nul_character_and_ten_megabytes_go_through_unchanged():
    long = "a\0é😀" * 2_500_000
    row = await only(lambda record, llm: {"response": long}, columns={})
    assert as_arrow([row], dataset_schema())[0]["response"] == long


async def test_declared_columns_are_in_the_row():
    row = await only(lambda record, llm: {"score": 3}, columns={"score": pa.float64()})
    assert row["score"] == 3


async def test_a_value_that_does_not_fit_its_declared_column_is_a_rejection():
    row = await only(lambda record, llm: {"score": "high"}, columns={"score": pa.float64()})
    assert row["reason"] == "error"
    assert row["detail"].startswith("score does not fit its column of type double: ")


async def test_what_nobody_declared_is_kept_as_json():
    row = await only(lambda record, llm: {"language": "fr", "tags": ("a", "b"), "what": FakeEngine})
    assert json.loads(row["extra"]) == {"language": "fr", "tags": ["a", "b"], "what": str(FakeEngine)}
    assert "language" not in row


async def test_there_is_no_extra_column_where_the_strategy_declares_its_columns():
    assert context(answer, declared={"score": pa.float64()}).strategy.columns == {"score": pa.float64()}
    row = await only(lambda record, llm: {"score": 1.0, "scratch": 2}, declared={"score": pa.float64()})
    assert row["score"] == 1.0
    assert not {"scratch", "extra"} & row.keys()


async def test_undeclared_keys_reach_the_steps_that_follow():
    def use(record, llm):
        return record | {"response": record["topic"]}

    finished = await finish(lambda record, llm: {"topic": "bees"}, use)
    assert finished.kept[0]["response"] == "bees"


async def test_the_lineage_has_each_new_instruction():
    def evolve(record, llm):
        return record | {"instruction": record.get("instruction", "") + "!"}

    row = (await finish(evolve, evolve, answer)).kept[0]
    assert [(one["step"], one["text"]) for one in row["lineage"]] == [
        ("first", "!"), ("second", "!!"), ("third", "question")
    ]  # fmt: skip


async def test_the_lineage_has_a_steps_own_notes_instead_where_it_makes_them():
    async def evolve(record, llm):
        llm.note("why", operation="deepen")
        return record | {"instruction": "why"}

    assert (await only(evolve))["lineage"] == [{"step": "first", "text": "why", "operation": "deepen", "model": None}]


async def test_branches_do_not_share_their_lineage():
    finished = await finish(lambda record, llm: [{"instruction": "a"}, {"instruction": "b"}], answer)
    assert [[one["text"] for one in row["lineage"]] for row in finished.kept] == [["a", "question"], ["b", "question"]]


async def test_the_finish_reason_is_that_of_the_response_and_not_of_a_later_call():
    async def judge(record, llm):
        await llm.chat("judge this")
        return record | {"score": 1}

    engine = FakeEngine(lambda prompt: "good" if "judge" in prompt else ("half an ans", "length"))
    assert (await finish(answer, judge, engine=engine)).kept[0]["finish_reason"] == "length"


@pytest.mark.parametrize("words", ["Yes.", "A"])
@pytest.mark.parametrize("chosen", [0, 1])
@pytest.mark.parametrize("where", ["response", "messages"])
async def test_of_two_calls_with_the_same_words_the_one_counts_whose_text_the_row_has(words, chosen, where):
    async def asks_twice(record, llm):
        said = [await llm.chat("first"), await llm.chat("second")]
        if where == "response":
            return {"instruction": "Is it?", "response": said[chosen].text}
        turns = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": said[chosen].text}]
        return {"messages": turns, "response": turns[1]["content"]}

    engine = FakeEngine(lambda prompt: (words, "length" if "first" in prompt else "stop"))
    row = (await finish(asks_twice, engine=engine)).kept[0]
    assert (row["response"], row["finish_reason"]) == (words, "length" if chosen == 0 else "stop")


async def test_words_that_a_step_has_cut_out_are_still_those_of_their_call():
    async def unwraps(record, llm):
        answer = await llm.chat("answer")
        await llm.chat("judge this")
        return {"instruction": "Is it?", "response": "".join(answer.text)}

    engine = FakeEngine(lambda prompt: ("good", "stop") if "judge" in prompt else ("half an ans", "length"))
    assert (await finish(unwraps, engine=engine)).kept[0]["finish_reason"] == "length"


async def test_a_broken_engine_is_let_through():
    def breaks(prompt):
        raise EngineError("dead")

    with pytest.raises(EngineError, match="dead"):
        await finish(answer, engine=FakeEngine(breaks))


async def test_a_step_cannot_hide_that_the_engine_broke():
    def breaks(prompt):
        raise EngineError("dead")

    async def hides(record, llm):
        try:
            return await answer(record, llm)
        except Exception:
            return record | {"response": "fallback"}

    with pytest.raises(EngineError, match="dead"):
        await finish(hides, engine=FakeEngine(breaks))


async def test_a_broken_engine_is_let_through_from_a_branch():
    def breaks(prompt):
        raise EngineError("dead")

    with pytest.raises(EngineError, match="dead"):
        await finish(lambda record, llm: [{}, {}], answer, engine=FakeEngine(breaks))


async def test_a_rejection_within_a_task_group_is_that_rejection():
    async def asks_twice(record, llm):
        async with asyncio.TaskGroup() as group:
            group.create_task(llm.chat("x" * 2000))
            group.create_task(llm.chat("short"))
        return record

    assert (await only(asks_twice))["reason"] == "prompt_too_long"


async def test_cancelling_a_record_is_no_rejection():
    task = asyncio.create_task(finish(lambda record, llm: asyncio.sleep(10)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


SHAREGPT = [{"from": "human", "value": float("nan")}]


@pytest.mark.parametrize(
    "given",
    [
        {"instruction": 5},
        {"messages": SHAREGPT},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"score": "high"},
        {"response": {}},
        {"response": None},
        {"finish_reason": 3},
        {"system_prompt": [1]},
    ],
)
async def test_a_column_of_the_source_that_no_step_reads_may_be_of_any_type(given):
    finished = await finish(answer, answer, record=given, columns={"score": pa.float64()})
    (row,) = finished.kept
    plain = (await finish(answer, answer, columns={"score": pa.float64()})).kept[0]
    assert as_arrow([row], dataset_schema({"score": pa.float64()})) == [plain | {"score": None}]


async def test_a_step_sees_what_is_no_column_of_the_dataset_and_may_make_one_of_it():
    async def read(record, llm):
        assert record["messages"] == [{"from": "human", "value": "Why?"}]
        return record | {"score": 1.0}

    async def convert(record, llm):
        return record | {"messages": [{"role": "user", "content": record["messages"][0]["value"]}]}

    given = {"messages": [{"from": "human", "value": "Why?"}]}
    (row,) = (await finish(read, convert, record=given, columns={"score": pa.float64()})).kept
    assert row["messages"] == [{"role": "user", "content": "Why?"}] and row["instruction"] == "Why?"


async def test_what_a_step_makes_has_to_fit_whatever_the_source_had_there():
    async def spoil(record, llm):
        return record | {"messages": "other words"}

    (row,) = (await finish(spoil, record={"messages": SHAREGPT})).rejected
    assert row["reason"] == "error" and row["detail"].startswith("messages must be a list")
    assert row["messages"] == []


async def test_a_row_of_the_source_that_does_not_fit_a_declared_column_is_a_rejection():
    finished = await finish(answer, record={"score": "high"}, declared={"score": pa.float64()})
    (row,) = finished.rejected
    assert (row["reason"], row["rejected_by"], row["id"]) == ("error", "source", "0")
    assert as_arrow([row], rejected_schema({"score": pa.float64()})) == [{"score": None} | row]


async def test_a_row_of_the_source_that_is_nested_too_deeply_is_a_rejection():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert (await finish(answer, record={"deep": deep})).rejected[0]["detail"] == "the record is nested too deeply"


async def test_a_task_that_a_step_cancels_and_awaits_is_an_error_of_its_own():
    async def races(record, llm):
        loser = asyncio.create_task(asyncio.sleep(5))
        loser.cancel()
        await loser

    row = await only(races)
    assert (row["reason"], row["detail"].partition(":")[0]) == ("error", "CancelledError")


async def test_a_run_that_ends_takes_its_records_along():
    async def sleeps(record, llm):
        await asyncio.sleep(5)

    task = asyncio.create_task(finish(sleeps))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt()])
async def test_a_step_can_not_end_its_process(ending):
    def ends(record, llm):
        raise ending

    row = await only(ends)
    assert row["reason"] == "error" and row["detail"].startswith(type(ending).__name__)


async def test_an_error_is_placed_where_the_step_made_its_mistake():
    async def asks_nothing(record, llm):
        return await llm.chat(None)

    async def misspells(record, llm):
        return await llm.chat("x", max_token=5)

    assert "(test_chain.py:" in (await only(asks_nothing))["detail"]
    detail = (await only(misspells))["detail"]
    assert detail.startswith("ValidationError: max_token: Unexpected keyword argument (test_chain.py:")


async def test_a_rejection_without_a_reason_is_an_error():
    assert (await only(lambda record, llm: Rejection("")))["detail"] == "a Rejection needs a reason"


async def test_what_json_can_not_hold_is_null_in_extra():
    row = await only(lambda record, llm: {"instruction": "x", "share": [float("nan"), 1.5]})
    assert json.loads(row["extra"], parse_constant=pytest.fail) == {"share": [None, 1.5]}
