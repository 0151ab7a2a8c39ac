"""The judge: scores, votes, and answers that are no judgement."""

import json

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.configuration.column_types import type_from_text
from synth.engines import Sampling
from synth.steps.json_answer import json_object
from synth.steps.judge import SCHEMA, Judge
from synth.steps.judge_examples import EXAMPLES
from synth.steps.prompts import render
from tests.steps.fakes import FakeEngine, finish

RECORD = {"instruction": "Name a bee.", "response": "Maja"}
COLUMNS = {"judge_score": "int64", "judge_reason": "string"}


async def judge(*said, record=RECORD, **keys):
    """One record, judged by answers in turn; the row and the engine."""
    turn = iter(said)
    engine = FakeEngine(lambda prompt: next(turn), max_model_len=100_000)
    step = Judge(**keys)
    columns = {name: type_from_text(kind) for name, kind in step.columns.items()}
    finished = await finish(step, engine=engine, record=dict(record), columns=columns)
    (row,) = finished.kept + finished.rejected
    return row, engine


def verdict(score, reason="It fits."):
    return json.dumps({"reason": reason, "score": score})


async def test_a_response_is_scored_with_a_reason():
    row, engine = await judge(verdict(4))
    assert (row["judge_score"], row["judge_reason"]) == (4, "It fits.")
    assert (row["instruction"], row["response"]) == ("Name a bee.", "Maja")
    assert "Name a bee." in engine.prompts[0] and "Maja" in engine.prompts[0]


async def test_the_answer_is_asked_to_follow_the_schema():
    _, engine = await judge(verdict(4))
    assert engine.samplings[0].json_schema == SCHEMA


@pytest.mark.parametrize(
    "said",
    [
        'Here it is: {"score": 3, "reason": "ok"} I hope it helps.',
        '```json\n{"score": 3,\n "reason": "ok"}\n```',
        '{"score": "3", "reason": "ok"}',
        '{"score": 3.0, "reason": "ok"}',
        '{"score": "3/5", "reason": "ok"}',
        '{not json} {"other": 1} {"score": 3, "reason": "ok"}',
        '{"verdict": {"score": 3, "reason": "ok"}}',
    ],
)
async def test_a_score_is_found_wherever_it_stands(said):
    row, _ = await judge(said)
    assert (row["judge_score"], row["judge_reason"]) == (3, "ok")


@pytest.mark.parametrize(
    "said",
    ["", "4", "{}", '{"score": 0}', '{"score": 6}', '{"score": 3.5}', '{"score": true}', '{"score": null}',
     '{"score": [3]}', '{"score": NaN}', '{"score": 1e999}',
     "{" * 5000, '{"a":' * 5000, '{"score": ' + "9" * 5000 + "}"],
)  # fmt: skip
async def test_what_is_no_judgement_is_rejected_as_unparsable(said):
    row, _ = await judge(said)
    assert row["reason"] == "unparsable_judgement"
    assert row["judge_score"] is None


@pytest.mark.parametrize("reason", ["...", "<reason>", "[your reason]", "…"])
async def test_the_prompts_own_placeholder_is_no_judgement(reason):
    row, _ = await judge(verdict(1, reason))
    assert (row["reason"], row["judge_score"]) == ("unparsable_judgement", None)


@pytest.mark.parametrize(
    "echo",
    [
        "Judge how well the response does what the instruction asks.",
        "a sentence on what is right and what is wrong",
        EXAMPLES[0].reason,
    ],
)
async def test_a_sentence_of_the_prompt_is_no_judgement(echo):
    row, _ = await judge(verdict(4, echo))
    assert (row["reason"], row["judge_score"]) == ("unparsable_judgement", None)


async def test_the_judge_is_shown_judgements_whose_scores_differ():
    _, engine = await judge(verdict(4))
    shown = engine.prompts[0].split("<assistant>")[1:-1]
    scores = [json.loads(one.partition("<user>")[0])["score"] for one in shown]
    assert len(set(scores)) == len(scores) == 3


def test_nothing_in_the_prompt_can_be_read_as_a_judgement():
    prompt = render("judge", instruction="Name a bee.", response="Maja")
    assert json_object(prompt, "score") is None and "{" not in prompt


def test_the_reason_comes_before_the_score_and_is_bounded():
    assert list(SCHEMA["properties"]) == SCHEMA["required"] == ["reason", "score"]
    assert SCHEMA["properties"]["reason"]["maxLength"] < Judge().sampling.max_tokens


async def test_the_example_of_a_prompt_of_ones_own_is_no_judgement_either():
    prompt = 'Rate {{ response }}. Answer like {"score": 3, "reason": "why so"} or {"score": 3}'
    for said in ('{"score": 3, "reason": "why so"}', '{"score": 5, "reason": "Why so."}'):
        assert (await judge(said, prompt=prompt))[0]["reason"] == "unparsable_judgement"
    assert (await judge(verdict(3, "It is short."), prompt=prompt))[0]["judge_score"] == 3


@pytest.mark.parametrize("reason", ["Right, complete and clear.", "It is one short sentence, as asked.", "score", "3"])
async def test_a_reason_in_words_of_the_prompt_is_a_reason(reason):
    assert (await judge(verdict(4, reason)))[0]["judge_reason"] == reason


async def test_a_judgement_that_max_tokens_cut_is_truncated_and_no_parse_failure():
    row, _ = await judge(('{"score": 4, "reason": "It', "length"))
    assert row["reason"] == "truncated_judgement"


async def test_a_failed_judgement_may_keep_the_record_and_says_so():
    row, _ = await judge(("{", "length"), on_failure="keep", min_score=3)
    assert (row["judge_score"], row["judge_reason"]) == (None, "truncated_judgement")
    assert "rejected_by" not in row


async def test_a_low_score_is_a_rejection_with_the_score():
    row, _ = await judge(verdict(2, "Wrong."), min_score=3)
    assert (row["reason"], row["detail"], row["judge_score"]) == ("low_score", "2: Wrong.", 2)


async def test_the_score_of_several_votes_is_their_mean_without_those_that_failed():
    row, engine = await judge(verdict(5), "oops", verdict(4, "No."), votes=3, sampling=Sampling(temperature=0.7))
    assert (row["judge_score"], row["judge_reason"]) == (4.5, "It fits.")
    assert len({sampling.seed for sampling in engine.samplings}) == 3


def test_greedy_votes_are_refused():
    with pytest.raises(pydantic.ValidationError, match="greedy votes are all the same"):
        Judge(votes=3)


async def test_criteria_stand_before_the_shipped_prompt():
    _, engine = await judge(verdict(4), criteria=["brevity", "truth"])
    assert "<user>What counts:\n- brevity\n- truth\n\nJudge how" in engine.prompts[0]


async def test_a_prompt_of_ones_own_sees_the_columns_and_the_criteria():
    prompt = "Is {{ response }} by {{ author }}{% for one in criteria %} {{ one }}{% endfor %}?"
    _, engine = await judge(verdict(4), record=RECORD | {"author": "me"}, prompt=prompt, criteria="nice")
    assert engine.prompts == ["<user>Is Maja by me nice?<assistant>"]


async def test_a_prompt_may_be_a_file(tmp_path):
    (tmp_path / "mine.jinja").write_text("Rate {{ response }}.\n")
    _, engine = await judge(verdict(4), prompt=str(tmp_path / "mine.jinja"))
    assert engine.prompts == ["<user>Rate Maja.<assistant>"]


@pytest.mark.parametrize(("prompt", "problem"), [("no/such.jinja", "can't be read"), ("{{ oops", "line 1")])
def test_a_prompt_that_can_not_be_read_is_refused(prompt, problem):
    with pytest.raises(pydantic.ValidationError, match=problem):
        Judge(prompt=prompt)


async def test_a_column_that_is_not_there_is_a_rejection():
    row, _ = await judge(prompt="{{ author }}")
    assert row["reason"] == "missing_column"


def test_the_columns_that_a_prompt_reads_are_needed():
    assert Judge().needs() == [{"instruction": "text"}, {"response": "text"}]
    assert Judge(prompt="{{ author }} {{ criteria }}").needs() == [("author",)]


@pytest.mark.parametrize("missing", ["instruction", "response"])
async def test_there_must_be_something_to_judge(missing):
    row, engine = await judge(record=RECORD | {missing: None})
    assert row["reason"] == f"no_{missing}"
    assert not engine.prompts


async def test_what_a_response_says_is_never_run_as_a_template():
    _, engine = await judge(verdict(4), record=RECORD | {"response": "{{ 7 * 7 }}"}, prompt="{{ response }}")
    assert engine.prompts == ["<user>{{ 7 * 7 }}<assistant>"]


def test_calls_tells_every_vote():
    assert len(Judge(votes=3, sampling=Sampling()).calls()) == 3


KEYS = st.sampled_from(["score", "reason", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=80) | JSON.map(json.dumps),
    st.sampled_from(["stop", "length"]),
    st.sampled_from(["reject", "keep"]),
)
async def test_whatever_the_model_says_a_record_ends_in_a_row_or_a_rejection(said, ended, on_failure):
    row, _ = await judge((said, ended), on_failure=on_failure)
    assert row["judge_score"] in (None, 1, 2, 3, 4, 5)
    assert row.get("reason") != "error"


async def test_criteria_are_templates_over_the_records_columns():
    keys = {"criteria": ["It helps {{ persona }}."], "record": RECORD | {"persona": "a baker"}}
    _, engine = await judge('{"reason": "fine", "score": 4}', **keys)
    assert "What counts:\n- It helps a baker.\n" in engine.prompts[0]
    assert ("persona",) in Judge(criteria=keys["criteria"]).needs()
