"""Thinking models in a chain: thoughts in a column of their own where it is asked for, and nowhere else."""

from dataclasses import replace

import pyarrow as pa
import pytest

from synth.configuration.column_types import type_from_text
from synth.configuration.parsing import parse
from synth.engines import Answer
from synth.models.model import Model
from synth.records import dataset_schema, messages_with
from synth.steps.chain import run_record
from synth.steps.endpoints import Endpoint
from synth.steps.magpie import Magpie
from synth.steps.preference import Preference
from tests.chat import formats
from tests.chat.families import FAMILIES
from tests.chat.formats import chat, tokenizer
from tests.configuration.test_config import composed
from tests.steps.fakes import FakeEngine, context, finish

KEEP = {"reasoning": pa.string()}


async def answer(record, llm):
    said = await llm.chat("why?")
    return record | {"instruction": "why?", "response": said.text}


async def judge(record, llm):
    await llm.chat("judge this")
    return record | {"score": 1}


def thinking(prompt):
    return "<think>Judge, hm</think>4" if "judge" in prompt else "<think>Hm</think>So."


async def test_a_response_has_no_thoughts_and_the_row_no_column_for_them():
    (row,) = (await finish(answer, engine=FakeEngine(thinking), columns={})).kept
    assert row["response"] == row["messages"][-1]["content"] == "So."
    assert "reasoning" not in row


async def test_thoughts_are_those_of_the_response_whatever_is_asked_after_it():
    (row,) = (await finish(answer, judge, engine=FakeEngine(thinking), columns={}, declared=KEEP)).kept
    assert (row["response"], row["reasoning"]) == ("So.", "Hm")


async def test_the_column_comes_with_the_model_where_its_thoughts_are_kept():
    made = context(answer, engine=FakeEngine(thinking), columns={})
    strategy = replace(made.strategy, of_model=Model(path="demo", reasoning="keep").columns)
    assert strategy.columns == KEEP
    assert Model(path="demo").columns == {}
    (row,) = (await run_record(0, {}, replace(made, strategy=strategy))).kept
    assert row["reasoning"] == "Hm"


async def test_a_response_without_thoughts_has_null_for_them():
    (row,) = (await finish(answer, engine=FakeEngine(), columns={}, declared=KEEP)).kept
    assert row["reasoning"] is None


async def test_a_rewritten_response_loses_the_thoughts_of_the_old_one():
    def rewrite(record, llm):
        return record | {"response": "Rewritten."}

    (row,) = (await finish(answer, rewrite, engine=FakeEngine(thinking), columns={}, declared=KEEP)).kept
    assert row["reasoning"] is None


async def test_thoughts_that_a_step_writes_itself_stay():
    def rewrite(record, llm):
        return record | {"response": "Rewritten.", "reasoning": "Mine."}

    (row,) = (await finish(answer, rewrite, engine=FakeEngine(thinking), columns={}, declared=KEEP)).kept
    assert row["reasoning"] == "Mine."


async def test_an_answer_cut_within_the_thoughts_is_empty_and_its_finish_reason_is_length():
    (row,) = (await finish(answer, engine=FakeEngine(lambda _: ("<think>Hm, and", "length")), columns={})).kept
    assert (row["response"], row["finish_reason"]) == ("", "length")


async def test_later_turns_see_no_thoughts_of_earlier_ones():
    engine = FakeEngine(lambda prompt: "<think>Hm</think>So." if prompt.endswith("<assistant>") else "Why?")
    (row,) = (await finish(Magpie(n_turns=2), engine=engine, columns={}, declared=KEEP)).kept
    assert [turn["content"] for turn in row["messages"]] == ["Why?", "So.", "Why?", "So."]
    assert not any("Hm" in prompt for prompt in engine.prompts)


async def test_thoughts_in_the_messages_of_a_source_are_not_asked_again():
    async def go_on(record, llm):
        await llm.chat([*record["messages"], {"role": "user", "content": "And?"}])
        return record

    engine = FakeEngine()
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "<think>Hm</think>So."}]
    await finish(go_on, engine=engine, record={"messages": turns}, columns={})
    assert engine.prompts == ["<user>Why?<assistant>So.<user>And?<assistant>"]


class Harmony:
    """A fake engine that speaks in gpt-oss's channels, in the token ids of a real tokenizer."""

    max_model_len = 1000

    def __init__(self, words: str, finish_reason: str = "stop"):
        self.ids = tokenizer(formats.HARMONY).encode(words, add_special_tokens=False)
        self.finish_reason = finish_reason

    async def generate(self, prompt, sampling):
        return Answer(self.ids, self.finish_reason, len(prompt))


@pytest.mark.parametrize(
    ("words", "finish_reason", "reasoning", "response"),
    [
        ("analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>So.", "stop", "Hm", "So."),
        ("analysis<|message|>Hm, and", "length", "Hm, and", ""),
        ("commentary<|message|>Wait.", "stop", "Wait.", ""),
    ],
)
async def test_of_an_answer_in_channels_the_final_one_is_the_response(words, finish_reason, reasoning, response):
    made = context(answer, columns={}, declared=KEEP)
    endpoints = {"main": Endpoint(Harmony("<|channel|>" + words, finish_reason), chat(formats.HARMONY), "harmony")}
    (row,) = (await run_record(0, {}, replace(made, endpoints=endpoints))).kept
    assert (row["reasoning"], row["response"], row["finish_reason"]) == (reasoning, response, finish_reason)


async def test_a_branch_has_a_lineage_up_to_where_it_was_made():
    async def grow(record, llm):
        branches = []
        for text in ("a", "ab"):
            llm.note(text, "grow")
            branches.append(llm.branch({"instruction": text}))
        return branches

    kept = (await finish(grow, engine=FakeEngine(), columns={})).kept
    assert [[one["text"] for one in row["lineage"]] for row in kept] == [["a"], ["a", "ab"]]


def in_messages(*functions, engine, fields=("reasoning_content",)):
    made = context(*functions, engine=engine, columns={})
    return replace(made, strategy=replace(made.strategy, of_model={"messages": messages_with(fields)}))


async def test_thoughts_are_in_the_messages_that_follow_them_each_with_its_own():
    said = iter(["<think>One</think>Yes.", "<think>Two</think>Yes.", "No."])
    engine = FakeEngine(lambda prompt: "Well?" if prompt.endswith("<user>") else next(said))
    (row,) = (await run_record(0, {}, in_messages(Magpie(n_turns=3), engine=engine))).kept
    assert [turn.get("reasoning_content") for turn in row["messages"]] == [None, "One", None, "Two", None, None]
    assert [turn["content"] for turn in row["messages"]][1::2] == ["Yes.", "Yes.", "No."]
    schema = dataset_schema({"messages": messages_with(["reasoning_content"])})
    assert pa.RecordBatch.from_pylist([row], schema).to_pylist()[0]["messages"] == row["messages"]


async def test_the_answers_of_a_preference_pair_have_theirs():
    async def pair(record, llm):
        both = [(await llm.chat("why?")).text for _ in range(2)]
        turns = [[{"role": "assistant", "content": text}] for text in both]
        return record | {"instruction": "why?", "response": both[0], "chosen": turns[0], "rejected": turns[1]}

    said = iter(["<think>One</think>Yes.", "<think>Two</think>Yes."])
    made = in_messages(pair, engine=FakeEngine(lambda prompt: next(said)))
    columns = {name: type_from_text(kind) for name, kind in Preference.columns.items()}
    made = replace(made, strategy=replace(made.strategy, declared=columns))
    assert made.strategy.columns["chosen"] == messages_with(["reasoning_content"])
    (row,) = (await run_record(0, {}, made)).kept
    assert [row[name][0]["reasoning_content"] for name in ("chosen", "rejected")] == ["One", "Two"]


async def test_thoughts_that_a_source_has_in_its_messages_stay():
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes", "reasoning_content": "Hm"}]
    made = in_messages(judge, engine=FakeEngine(thinking))
    (row,) = (await run_record(0, {"messages": turns}, made)).kept
    assert [turn["reasoning_content"] for turn in row["messages"]] == [None, "Hm"]


async def test_a_chat_template_that_shows_thoughts_shows_those_of_the_messages():
    (row,) = (await run_record(0, {}, in_messages(answer, engine=FakeEngine(thinking)))).kept
    template = FAMILIES["Seed OSS"].template
    written = tokenizer(template).apply_chat_template(row["messages"], tokenize=False)
    assert "<seed:think>Hm</seed:think>So." in written


def test_the_field_is_the_models_choice_and_models_may_choose_differently():
    words = ["model.reasoning=thinking", "+models.judge.preset=main", "+models.judge.reasoning=reasoning_content"]
    columns = parse(composed(*words, strategy="evol_instruct_judged", model="demo")).strategy.columns
    assert columns["messages"] == messages_with(["reasoning_content", "thinking"])
    assert "messages" not in parse(composed(model="demo")).strategy.columns
