"""What becomes of a record's candidates: one answer, several rows, pairs, or a prompt with its verified answer."""

import pydantic
import pytest

from synth.configuration.column_types import type_from_text
from synth.engines import Sampling
from synth.errors import ConfigError
from synth.steps.candidates import COLUMNS, Candidate, column_of
from synth.steps.gen_select import GenSelect
from synth.steps.judge import Judge
from synth.steps.needs import refuse_missing_columns
from synth.steps.pick import Pick
from synth.steps.rank import Rank
from synth.steps.sample import Sample
from synth.steps.strategy import Step, Strategy
from tests.steps.fakes import FakeEngine, finish
from tests.steps.test_preference import scored
from tests.steps.test_sample import Says, said

PROMPT = [{"role": "user", "content": "Why?"}]


def drawn(**texts):
    """Texts by what they are to be: p1="…" passed, f1 failed, t1 timed out, u1 is unverified, c1 was cut."""
    verdicts = {"p": "passed", "f": "failed", "t": "timeout", "u": None, "c": "failed"}
    return [
        Candidate("fake", text, "length" if name[0] == "c" else "stop", len(text), verdicts[name[0]], name[0] == "p")
        for name, text in texts.items()
    ]


async def rows(candidates, record=None, engine=None, steps=None, **keys):
    chain = steps or [Pick(**keys)]
    columns = {name: type_from_text(kind) for step in chain for name, kind in {**COLUMNS, **step.columns}.items()}
    given = {"instruction": "Why?", "verified_answer": "7"} | (column_of(candidates) if candidates else {})
    columns["verified_answer"] = type_from_text("string")
    finished = await finish(*chain, engine=engine, record=given | (record or {}), columns=columns)
    return finished.kept + finished.rejected


async def test_the_first_that_passed_becomes_the_records_answer():
    (row,) = await rows(drawn(f1="no", p1="yes", p2="also"))
    assert (row["id"], row["response"], row["finish_reason"]) == ("0", "yes", "stop")
    assert row["messages"] == [*PROMPT, {"role": "assistant", "content": "yes"}]
    assert len(row["candidates"]) == 3


async def test_the_shortest_that_passed():
    (row,) = await rows(drawn(f1="n", p1="yes yes", p2="yes"), by="shortest")
    assert row["response"] == "yes"


async def test_thoughts_count_where_tokens_are_told_and_else_characters_do():
    candidates = [Candidate("m", "yes yes", "stop", 5, "passed"), Candidate("m", "yes", "stop", 50, "passed")]
    assert (await rows(candidates, by="shortest"))[0]["response"] == "yes yes"
    untold = [candidate._replace(tokens=None) for candidate in candidates]
    assert (await rows(untold, by="shortest"))[0]["response"] == "yes"


async def test_all_that_passed_become_rows_the_best_first_and_equal_ones_one():
    made = await rows(drawn(p1="yes yes", f1="no", p2="yes", p3="yes yes"), output="all", by="shortest")
    assert [(row["id"], row["response"]) for row in made] == [("0/0", "yes"), ("0/1", "yes yes")]


async def test_rows_of_one_record_may_be_limited():
    candidates = drawn(p1="a", p2="b", p3="c")
    assert [row["id"] for row in await rows(candidates, output="all", limit=2)] == ["0/0", "0/1"]
    assert [row["id"] for row in await rows(candidates, output="all", limit=1)] == ["0"]
    assert (Pick(output="all", limit=2).num_outputs, Pick(output="all").num_outputs, Pick().num_outputs) == (2, None, 1)


async def test_a_passing_answer_is_set_beside_a_failing_one():
    made = await rows(drawn(c1="n", f1="no", p1="yes", f2="no no", p2="y", t1="?"), output="pairs", by="shortest")
    pairs = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in made]
    assert pairs == [("y", "no no"), ("yes", "no")]
    assert (made[0]["prompt"], made[0]["chosen_score"], made[0]["rejected_score"]) == (PROMPT, 1.0, 0.0)
    assert made[0]["response"] == "y"


async def test_a_prompt_stays_with_its_verified_answer():
    (row,) = await rows(drawn(p1="is 7"), output="prompt")
    assert (row["prompt"], row["verified_answer"], row["response"]) == (PROMPT, "7", None)
    assert row["messages"] == PROMPT


async def test_a_source_that_has_an_answer_of_its_own_gives_a_prompt_without_it():
    conversation = [*PROMPT, {"role": "assistant", "content": "old"}]
    (row,) = await rows(drawn(p1="is 7"), {"messages": conversation, "response": "old"}, output="prompt")
    assert (row["prompt"], row["messages"], row["response"]) == (PROMPT, PROMPT, None)


@pytest.mark.parametrize("output", ["best", "all", "pairs", "prompt"])
async def test_where_none_passed_the_record_is_rejected_with_its_candidates(output):
    (row,) = await rows(drawn(f1="no", f2="not", t1="?"), output=output)
    assert (row["reason"], row["detail"]) == ("none_passed", "of 3: 2 failed, 1 timeout")
    assert len(row["candidates"]) == 3


async def test_where_none_failed_there_is_no_pair():
    (row,) = await rows(drawn(p1="yes", t1="?", c1="n"), output="pairs")
    assert row["reason"] == "none_failed"


async def test_of_answers_that_nobody_verified_any_that_ended_will_do():
    (row,) = await rows([Candidate("m", "half", "length", 1), Candidate("m", "", "stop", 0), *drawn(u1="whole")])
    assert row["response"] == "whole"


@pytest.mark.parametrize("given", [None, [], ["a text"], [{"text": "a", "of": "another"}], 3])
async def test_a_column_that_holds_no_candidates_is_a_rejection(given):
    step, record = Pick(), {"instruction": "Why?", "candidates": given}
    (row,) = (await finish(step, record=record, columns={})).rejected
    assert row["reason"] == "no_candidates"


async def test_the_model_that_gave_the_answer_is_the_rows():
    sample, pick = Sample(n=2, verifier=Says()), Pick(output="all")
    made = await rows((), {"instruction": "3 + 4?"}, engine=said("is 7", "so 7"), steps=[sample, pick])
    assert [(row["response"], row["model"]) for row in made] == [("is 7", "fake"), ("so 7", "fake")]


async def test_a_judge_rates_those_that_passed_and_the_best_of_them_is_picked():
    engine = scored(2, 5, 4, responses=["is 7", "is 8", "so 7"])
    made = await rows((), engine=engine, steps=[Sample(n=3, verifier=Says()), Rank(n=3), Pick(by="rating")])
    assert (made[0]["response"], made[0]["best_rating"]) == ("so 7", 4.0)
    assert [one["rating"] for one in made[0]["candidates"]] == [2.0, None, 4.0]


async def test_a_reward_model_takes_the_judges_place():
    reward = {"_target_": "tests.steps.test_preference.Longer"}
    made = await rows(drawn(u1="a b", u2="a b c", u3="a"), steps=[Rank(reward_model=reward), Pick(by="rating")])
    assert made[0]["response"] == "a b c"


@pytest.mark.parametrize(("score", "reason"), [("Broken", "no_score"), (None, "unparsable_judgement")])
async def test_a_record_of_which_nothing_can_be_rated_is_rejected(score, reason):
    reward = score and {"_target_": f"tests.steps.test_preference.{score}"}
    made = await rows(drawn(u1="a", u2="b"), engine=FakeEngine(max_model_len=9000), steps=[Rank(reward_model=reward)])
    assert made[0]["reason"] == reason


async def test_where_none_passed_nobody_is_asked():
    engine = FakeEngine(max_model_len=9000)
    made = await rows(drawn(f1="no"), engine=engine, steps=[Rank(), Pick(by="rating")])
    assert made[0]["reason"] == "none_passed" and not engine.prompts


def test_rank_tells_the_calls_of_its_judge():
    judge = Judge(votes=2, sampling=Sampling(max_tokens=7))
    assert len(Rank(n=3, judge=judge).calls()) == 6
    assert not Rank(n=3, reward_model={"_target_": "tests.steps.test_preference.Longer"}).calls()


def test_a_limit_of_what_is_one_record_is_refused():
    with pytest.raises(pydantic.ValidationError, match="limit: has no effect, output=best makes one record"):
        Pick(limit=2)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([Pick()], "'candidates'; put a step synth.steps.sample.Sample before it"),
        ([Rank()], "'candidates'; put a step"),
        ([Sample(), Pick(output="pairs")], "'pass_rate'; give synth.steps.sample.Sample a verifier"),
        ([Sample(), Pick(by="rating")], "'best_rating'; put a step synth.steps.rank.Rank"),
        ([Sample(), Rank(), Pick(by="selected")], "'selected'; put a step synth.steps.gen_select.GenSelect"),
        ([Sample(verifier=Says())], "'hint', which rows.jsonl lacks"),
    ],
)
def test_what_no_step_before_adds_is_refused(steps, problem):
    named = [Step(f"step{number}", one, dict.fromkeys(one.columns)) for number, one in enumerate(steps)]
    with pytest.raises(ConfigError, match=problem) as caught:
        refuse_missing_columns(Strategy("test", named), ["instruction"], "rows.jsonl")
    assert "\n" not in str(caught.value)


def test_a_chain_of_all_decisions_is_fit():
    chain = [Sample(verifier=Says()), Rank(), GenSelect(), Pick(output="pairs", by="selected")]
    named = [Step(f"step{number}", one, dict.fromkeys(one.columns)) for number, one in enumerate(chain)]
    refuse_missing_columns(Strategy("test", named), ["instruction", "hint"], "rows.jsonl")
