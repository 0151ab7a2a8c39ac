"""Preference pairs: responses drawn, ranked by a judge or a reward model, and set side by side."""

import json

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.configuration.column_types import type_from_text
from synth.engines import Sampling
from synth.steps.judge import Judge
from synth.steps.preference import Preference
from tests.steps.fakes import FakeEngine, finish

RECORD = {"instruction": "Name a bee."}
LONGER = {"_target_": "tests.steps.test_preference.Longer"}


class Longer:
    """A reward model that likes many words: an example, and not a good one."""

    def __init__(self, per_word: float = 1.0):
        self.per_word = per_word

    def score(self, messages):
        return self.per_word * len(messages[-1]["content"].split())


class Patient(Longer):
    async def score(self, messages):
        return super().score(messages)


class Broken:
    def score(self, messages):
        return float("nan")


def scored(*scores, responses=None):
    """A scripted engine: responses `r0`, `r1`, …, which its judge gives these scores."""
    said = list(responses or [f"r{index}" for index in range(len(scores))])
    drawn = iter(said)

    def reply(prompt):
        if "Judge how" not in prompt:
            return next(drawn)
        texts = [one[0] if isinstance(one, tuple) else one for one in said]
        response = prompt.removesuffix("<assistant>").rpartition("Response:\n")[2]
        return json.dumps({"score": scores[texts.index(response)], "reason": "So."})

    return FakeEngine(reply, max_model_len=100_000)


async def pair(engine, record=RECORD, **keys):
    columns = {name: type_from_text(kind) for name, kind in Preference.columns.items()}
    finished = await finish(Preference(**keys), engine=engine, record=dict(record), columns=columns)
    (row,) = finished.kept + finished.rejected
    return row


async def test_the_best_and_the_worst_response_are_a_pair():
    row = await pair(scored(3, 5, 1, 4))
    assert row["prompt"] == [{"role": "user", "content": "Name a bee."}]
    assert row["chosen"] == [{"role": "assistant", "content": "r1"}]
    assert row["rejected"] == [{"role": "assistant", "content": "r2"}]
    assert (row["chosen_score"], row["rejected_score"]) == (5.0, 1.0)


async def test_the_chosen_response_is_the_records_own():
    row = await pair(scored(3, 5, 1, 4))
    assert (row["instruction"], row["response"], row["finish_reason"]) == ("Name a bee.", "r1", "stop")
    assert row["messages"] == row["prompt"] + row["chosen"]


async def test_k_responses_are_drawn_with_seeds_of_their_own():
    engine = scored(3, 5)
    await pair(engine, k=2, responses=Sampling(temperature=0.5, max_tokens=9))
    drawn = engine.samplings[:2]
    assert [(one.temperature, one.max_tokens) for one in drawn] == [(0.5, 9)] * 2
    assert drawn[0].seed != drawn[1].seed


async def test_several_samplings_are_taken_in_turn():
    engine = scored(3, 5, 1)
    await pair(engine, k=3, responses=[Sampling(temperature=0.1), Sampling(temperature=0.9)])
    assert [sampling.temperature for sampling in engine.samplings[:3]] == [0.1, 0.9, 0.1]


def test_greedy_responses_are_refused():
    with pytest.raises(pydantic.ValidationError, match="greedy responses are all the same"):
        Preference(responses=Sampling(temperature=0))


async def test_a_tie_is_a_rejection():
    row = await pair(scored(4, 4), k=2)
    assert (row["reason"], row["detail"]) == ("no_preference", "all ranked responses have the score 4")


@pytest.mark.parametrize(
    ("engine", "noted"),
    [
        (scored(4, 4), [("r0", "candidate: 4"), ("r1", "candidate: 4")]),
        (scored(9, 5), [("r0", "candidate: unparsable_judgement"), ("r1", "candidate: 5")]),
        (scored(5, responses=["a", ("b", "length")]), [("a", "candidate: not ranked"), ("b", "candidate: cut")]),
    ],
)
async def test_a_record_that_the_ranking_rejects_keeps_its_candidates_and_their_scores(engine, noted):
    row = await pair(engine, k=2)
    assert row["reason"]
    assert [(one["text"], one["operation"]) for one in row["lineage"]] == noted


async def test_a_tie_may_be_kept_as_two_different_responses():
    row = await pair(scored(4, 4), k=2, ties="keep")
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("r0", "r1")


async def test_responses_that_are_all_the_same_are_no_preference_even_where_ties_are_kept():
    row = await pair(scored(4, responses=["same", "same"]), k=2, ties="keep")
    assert row["reason"] == "no_preference"


async def test_empty_and_cut_responses_are_not_ranked():
    row = await pair(scored(0, 5, 0, 2, responses=["", "good", ("half", "length"), "bad"]))
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("good", "bad")


@pytest.mark.parametrize(
    ("responses", "reason"), [(["a", ("b", "length")], "truncated_response"), (["a", ""], "empty_response")]
)
async def test_too_few_responses_are_a_rejection_that_tells_why(responses, reason):
    assert (await pair(scored(1, 1, responses=responses), k=2))["reason"] == reason


async def test_a_judgement_that_can_not_be_read_leaves_its_response_out():
    row = await pair(scored(9, 5, 2), k=3)
    assert row["chosen"][0]["content"] == "r1"
    assert [(one["text"], one["operation"]) for one in row["lineage"]] == [("r0", "candidate: unparsable_judgement")]
    assert (await pair(scored(9, 5), k=2))["reason"] == "unparsable_judgement"


async def test_a_conversation_is_answered_after_its_last_users_turn():
    turns = [("system", "Buzz."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"), ("assistant", "old")]
    messages = [{"role": role, "content": content} for role, content in turns]
    row = await pair(scored(3, 5), {"messages": messages}, k=2)
    assert row["prompt"] == messages[:-1]
    assert (row["instruction"], row["response"], row["messages"][-1]["content"]) == ("Hi", "Hello", "r1")


async def test_a_system_prompt_is_part_of_the_prompt():
    row = await pair(scored(3, 5), RECORD | {"system_prompt": "Buzz."}, k=2)
    assert row["prompt"][0] == {"role": "system", "content": "Buzz."}


@pytest.mark.parametrize("target", ["Longer", "Patient"])
async def test_a_reward_model_ranks_in_the_judges_place(target):
    engine = scored(0, 0, 0, responses=["a b", "a b c", "a"])
    row = await pair(engine, k=3, reward_model={"_target_": f"tests.steps.test_preference.{target}", "per_word": 2.0})
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("a b c", "a")
    assert (row["chosen_score"], len(engine.prompts)) == (6.0, 3)


async def test_a_score_that_is_no_number_is_a_rejection():
    row = await pair(scored(0, 0), k=2, reward_model={"_target_": "tests.steps.test_preference.Broken"})
    assert (row["reason"], row["detail"]) == ("no_score", "the reward model gave nan")


@pytest.mark.parametrize(
    ("node", "problem"),
    [({"_target_": "synth.models.model.Model"}, "no score"), (LONGER | {"per_wrd": 1}, "did you mean")],
)
def test_what_is_no_reward_model_is_refused(node, problem):
    with pytest.raises(pydantic.ValidationError, match=problem):
        Preference(reward_model=node)


async def test_there_must_be_something_to_answer():
    assert (await pair(scored(1, 2), {}))["reason"] == "no_instruction"


def test_calls_tells_responses_and_votes():
    judge = Judge(votes=2, sampling=Sampling(max_tokens=7))
    assert [call.max_tokens for call in Preference(k=2, judge=judge).calls()] == [2048, 2048, 7, 7, 7, 7]
    assert len(Preference(k=2, reward_model=LONGER).calls()) == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=40), st.sampled_from(["stop", "length"])), min_size=1, max_size=6))
async def test_whatever_the_model_says_a_record_ends_in_a_row_or_a_rejection(said):
    turn = iter(range(10**6))
    row = await pair(FakeEngine(lambda prompt: said[next(turn) % len(said)], max_model_len=100_000))
    assert row.get("reason") != "error"
