"""GenSelect: a model is shown numbered answers and names the best; of many, in a tournament."""

import re

import pytest

from synth.configuration.column_types import type_from_text
from synth.engines import FORMS
from synth.steps.candidates import Candidate, column_of
from synth.steps.gen_select import GenSelect
from tests.steps.fakes import FakeEngine, finish


def drawn(*texts, verdict=None):
    return [Candidate("fake", text, "stop", len(text), verdict) for text in texts]


def shown(prompt):
    return re.findall(r"Solution \d+:\n(\w+)", prompt)


def longest(prompt):
    texts = shown(prompt)
    return str(texts.index(max(texts, key=len)) + 1)


async def select(candidates, reply=longest, number=0, **keys):
    step, engine = GenSelect(**keys), FakeEngine(reply, max_model_len=100_000)
    columns = {name: type_from_text(kind) for name, kind in step.columns.items()}
    record = {"instruction": "Why?"} | column_of(candidates)
    finished = await finish(step, engine=engine, record=record, columns=columns, number=number)
    (row,) = finished.kept + finished.rejected
    return row, engine


async def test_the_one_that_the_model_names_is_selected_and_all_stay():
    row, engine = await select(drawn("a", "bbb", "cc"))
    assert row["selected"] == 1 and [one["text"] for one in row["candidates"]] == ["a", "bbb", "cc"]
    assert len(engine.prompts) == 1 and "Problem:\nWhy?" in engine.prompts[0]


async def test_the_answer_is_held_to_the_numbers_that_are_shown():
    _, engine = await select(drawn("a", "bbb", "cc"))
    assert engine.samplings[0].choice == ("1", "2", "3")


async def test_an_engine_that_holds_no_choice_is_read():
    class Free(FakeEngine):
        holds = frozenset(FORMS.values()) - {"choice"}

    step = GenSelect()
    engine = Free(lambda prompt: f"Of the 2, the best is {longest(prompt)}.", max_model_len=100_000)
    columns = {name: type_from_text(kind) for name, kind in step.columns.items()}
    record = {"instruction": "Why?"} | column_of(drawn("a", "bbb", "cc"))
    (row,) = (await finish(step, engine=engine, record=record, columns=columns)).kept
    assert row["selected"] == 1 and engine.samplings[0].choice is None


async def test_the_order_is_shuffled_by_the_seed():
    orders = [shown((await select(drawn("a", "bbb", "cc"), number=n))[1].prompts[0]) for n in (0, 0, 1, 2, 3)]
    assert orders[0] == orders[1] and len(set(map(tuple, orders))) > 1


@pytest.mark.parametrize(("n", "group", "calls"), [(8, 8, 1), (9, 8, 3), (16, 8, 3), (5, 2, 4), (16, 2, 15), (1, 2, 0)])
async def test_a_tournament_makes_the_calls_that_it_tells(n, group, calls):
    texts = ["x" * length for length in range(1, n + 1)]
    row, engine = await select(drawn(*texts), n=n, group=group)
    assert (row["selected"], len(engine.prompts), len(GenSelect(n=n, group=group).calls())) == (n - 1, calls, calls)


async def test_only_answers_that_passed_are_compared_and_equal_ones_once():
    passed = drawn("a", "bbb", "a", verdict="passed")
    row, engine = await select([*drawn("long", "dddddd", verdict="failed"), *passed])
    assert row["selected"] == 3 and sorted(shown(engine.prompts[0])) == ["a", "bbb"]


@pytest.mark.parametrize(("texts", "place"), [(["a"], 0), ([], None)])
async def test_one_answer_or_none_takes_no_call(texts, place):
    row, engine = await select([*drawn(*texts, verdict="passed"), *drawn("zz", verdict="failed")])
    assert row["selected"] == place and not engine.prompts


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("the first", "unparsable_selection"), ("9", "unparsable_selection"), (("1", "length"), "truncated_selection")],
)
async def test_a_number_that_was_not_named_is_a_rejection(reply, reason):
    row, _ = await select(drawn("a", "b"), reply=lambda prompt: reply)
    assert row["reason"] == reason


async def test_without_candidates_there_is_nothing_to_select():
    assert (await select([]))[0]["reason"] == "no_candidates"
