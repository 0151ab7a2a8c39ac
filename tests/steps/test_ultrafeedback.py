"""UltraFeedback: who answers under which principle, how responses are rated, and which two are the pair."""

import asyncio
import json
import re

import pytest

from synth.configuration.column_types import type_from_text
from synth.engines import Sampling
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.strategy import Step, Strategy
from synth.steps.ultrafeedback import ASPECTS, PRINCIPLES, UltraFeedback
from tests.steps.fakes import FakeEngine, FakeTemplate

QUALITY = {"awful": 1, "poor": 2, "fair": 3, "fine": 5}


def author(word):
    return FakeEngine(lambda prompt: (word, "length") if word == "cut" else word)


def rate(prompt):
    """Rates each response by what it says, and has no opinion on honesty."""
    shown = re.findall(r"Response \d+:\n(\w+)", prompt)
    honesty = "one thing only: honesty" in prompt
    return json.dumps({"ratings": [{"rationale": one, "rating": None if honesty else QUALITY[one]} for one in shown]})


async def finish(words, judge=rate, number=0, engine=None, **keys):
    engines = {f"m{place}": author(word) for place, word in enumerate(words)}
    engines |= {"judge": engine or FakeEngine(judge), "main": FakeEngine()}
    step = UltraFeedback(**{"authors": list(engines)[: len(words)], "model": "judge"} | keys)
    columns = {name: type_from_text(text) for name, text in step.columns.items()}
    chain = Strategy("test", [Step("ultrafeedback", step, columns)], {})
    endpoints = {name: Endpoint(one, FakeTemplate(), name.upper()) for name, one in engines.items()}
    finished = await run_record(number, {"instruction": "Why?"}, Context(chain, endpoints, 0))
    (row,) = finished.kept + finished.rejected
    return row, engines


async def test_the_best_and_the_worst_of_all_responses_are_the_pair_and_all_of_them_stay():
    row, _ = await finish(["poor", "fine", "awful", "fair"])
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("fine", "awful")
    assert (row["chosen_score"], row["rejected_score"], row["response"], row["model"]) == (5, 1, "fine", "M1")
    assert {one["model"]: one["text"] for one in row["candidates"]} == {
        "M0": "poor", "M1": "fine", "M2": "awful", "M3": "fair",
    }  # fmt: skip
    (fine,) = [one for one in row["candidates"] if one["text"] == "fine"]
    assert fine["helpfulness"] == 5 and fine["helpfulness_rationale"] == "fine"
    assert fine["honesty"] is None  # it does not apply, and is no part of the mean


async def test_each_author_answers_under_a_principle_of_its_own_which_is_no_part_of_the_pairs_prompt():
    row, engines = await finish(["poor", "fine", "awful", "fair"])
    prompts = [engines[name].prompts[0] for name in ("m0", "m1", "m2", "m3")]
    under = [next(name for name, words in PRINCIPLES.items() if words in prompt) for prompt in prompts]
    assert sorted(under) == sorted(PRINCIPLES)
    assert row["prompt"] == [{"role": "user", "content": "Why?"}]


async def test_responses_are_shown_in_an_order_of_its_own_for_each_aspect_and_each_keeps_its_rating():
    orders = set()
    for number in range(6):
        row, engines = await finish(["poor", "fine", "awful", "fair"], number=number)
        orders |= {tuple(re.findall(r"Response \d+:\n(\w+)", prompt)) for prompt in engines["judge"].prompts}
        assert all(one["truthfulness"] == QUALITY[one["text"]] for one in row["candidates"])
    assert len(orders) > 8


async def test_of_aspects_that_can_not_be_read_the_first_is_told_whichever_comes_first():
    class Judge(FakeEngine):
        async def generate(self, prompt, sampling):
            asked = "".join(map(chr, prompt))
            place = next(at for at, one in enumerate(ASPECTS) if f"only: {one.name.replace('_', ' ')}" in asked)
            await asyncio.sleep(0.01 * (4 - place))
            return await super().generate(prompt, sampling)

    row, _ = await finish(["poor", "fine"], engine=Judge(lambda _: "Both."), k=2)
    assert (row["reason"], row["detail"]) == ("unparsable_judgement", "instruction_following")


async def test_a_judge_that_rates_by_place_makes_no_pair_of_twins():
    def by_place(prompt):
        count = len(re.findall(r"Response \d+:", prompt))
        return json.dumps({"ratings": [{"rationale": "", "rating": 5 - place} for place in range(count)]})

    row, _ = await finish(["fine", "fine", "poor", "poor"], by_place)
    assert {row["chosen"][0]["content"], row["rejected"][0]["content"]} == {"fine", "poor"} or "reason" in row


async def test_of_more_authors_than_answers_some_are_drawn_and_of_fewer_all_answer_more_than_once():
    row, _ = await finish(["poor", "fine", "awful", "fair"], k=2)
    assert len(row["candidates"]) == 2
    row, engines = await finish(["poor", "fine"], k=4)
    assert len(engines["m0"].prompts) == len(engines["m1"].prompts) == 2
    assert [one["text"] for one in row["candidates"]] in (["poor", "fine"], ["fine", "poor"])  # each is rated once
    assert [sampling.seed for sampling in engines["m0"].samplings] != [
        sampling.seed for sampling in engines["m1"].samplings
    ]


@pytest.mark.parametrize(
    ("words", "judge", "reason"),
    [
        (["cut", "fine"], rate, "truncated_response"),
        (["", "fine"], rate, "empty_response"),
        (["fine", "fine"], rate, "no_preference"),
        (["poor", "fine"], lambda _: "Both are good.", "unparsable_judgement"),
        (["poor", "fine"], lambda _: '{"ratings": [{"rationale": "", "rating": 3}]}', "unparsable_judgement"),
        (["poor", "fine"], lambda _: '{"ratings": [{"rating": 3}, {"rating": 9}]}', "unparsable_judgement"),
        (["poor", "fine"], lambda _: '{"ratings": [{"rating": true}, {"rating": 2}]}', "unparsable_judgement"),
        (["poor", "fine"], lambda _: ('{"ratings": [{"ra', "length"), "truncated_judgement"),
    ],
)
async def test_what_gives_no_pair_is_rejected_with_its_reason(words, judge, reason):
    row, _ = await finish(words, judge, k=2)
    assert row["reason"] == reason


def test_an_author_whose_greedy_answers_would_all_be_the_same_is_refused():
    with pytest.raises(ValueError, match="greedy answers are all the same"):
        UltraFeedback(principles=False, responses=Sampling(temperature=0.0))


def test_it_tells_of_all_its_authors_and_of_each_call():
    step = UltraFeedback(authors=["a", "b", "c"], k=2, model="judge")
    assert Step("ultrafeedback", step).models == {"a", "b", "c", "judge"}
    assert len(step.calls()) == 2 + len(ASPECTS)
