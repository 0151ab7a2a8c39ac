"""Conversations between a simulated user and an assistant."""

import json

import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.engines import Sampling
from synth.steps.converse import Converse
from tests.steps.fakes import FakeEngine, finish

COLUMNS = {"goal_met": pa.bool_(), "conversation_end": pa.string()}
GOAL = {"persona": "a baker", "goal": "plan a week"}


def kind(prompt):
    """`verdict`, or `q1`, `a1`, `q2`, … as the conversation goes; the chat that asks for a user's message is `ask`."""
    if prompt.endswith("Answer Yes or No.<assistant>"):
        return "verdict"
    if '{"message": the message}.<assistant>' in prompt:
        return "ask"
    return f"{'q' if prompt.endswith('<user>') else 'a'}{prompt.count('<user>')}"


def engine(verdicts=(), **replies):
    """Says what kind of turn it is asked for, or what `replies` has for it; gives the `verdicts` one after the other,
    then No."""
    left = list(verdicts)

    def reply(prompt):
        asked = kind(prompt)
        if asked == "verdict":
            return left.pop(0) if left else "No"
        return replies.get(asked, f"{asked}?" if asked[0] == "q" else asked)

    return FakeEngine(reply)


async def talk(engine, record=None, **keys):
    return await finish(Converse(**keys), engine=engine, columns=COLUMNS, record=record or {})


def contents(row):
    return [message["content"] for message in row["messages"]]


async def test_user_and_assistant_speak_in_turn_until_there_are_enough_turns():
    (row,) = (await talk(engine(), max_turns=3)).kept
    assert contents(row) == ["q1?", "a1", "q2?", "a2", "q3?", "a3"]
    assert (row["conversation_end"], row["goal_met"], row["instruction"]) == ("max_turns", None, "q1?")


async def test_the_user_is_described_where_the_user_speaks_and_nowhere_else():
    fake = engine()
    await talk(fake, record=GOAL, persona="{{ persona }}", goal="{{ goal }}")
    as_user = [prompt for prompt in fake.prompts if kind(prompt)[0] == "q"]
    answers = [prompt for prompt in fake.prompts if kind(prompt)[0] == "a"]
    assert all("The user is a baker. What they want of you: plan a week." in prompt for prompt in as_user)
    assert not any("baker" in prompt for prompt in answers)


async def test_a_conversation_ends_when_its_goal_is_met():
    (row,) = (await talk(engine(verdicts=["No", "Yes"]), goal="plan a week", min_turns=1, max_turns=9)).kept
    assert contents(row) == ["q1?", "a1", "q2?", "a2"]
    assert (row["goal_met"], row["conversation_end"]) == (True, "goal_met")


async def test_the_goal_is_not_asked_about_before_there_are_enough_turns():
    (row,) = (await talk(engine(verdicts=["Yes"]), goal="plan a week", min_turns=3)).kept
    assert len(row["messages"]) == 6


async def test_a_goal_that_is_not_met_is_told_and_may_reject_the_record():
    (row,) = (await talk(engine(), goal="plan a week")).kept
    assert (row["goal_met"], row["conversation_end"]) == (False, "max_turns")
    (row,) = (await talk(engine(), goal="plan a week", keep_unmet=False)).rejected
    assert (row["reason"], len(row["messages"])) == ("goal_not_met", 8)


async def test_a_verdict_that_can_not_be_read_is_no_yes():
    (row,) = (await talk(engine(verdicts=["Yes or No"]), goal="plan a week")).rejected
    assert row["reason"] == "no_verdict"


UNUSABLE = [
    ("q2", "", "empty_turn"),
    ("q2", ("and then", "length"), "truncated_turn"),
    ("q2", ("so so so", "repetition"), "repetition"),
    ("q2", "How can I help you today?", "assistant_voice"),
    ("q2", "Q1!", "repeats_turn"),
    ("a2", "A1.", "repeats_turn"),
    ("a2", "", "empty_response"),
    ("a2", ("go go go", "repetition"), "repetition"),
]


@pytest.mark.parametrize(("at", "reply", "reason"), UNUSABLE)
async def test_an_unusable_turn_ends_a_conversation_that_is_long_enough_before_it(at, reply, reason):
    (row,) = (await talk(engine(**{at: reply}), min_turns=1)).kept
    assert (contents(row), row["conversation_end"]) == (["q1?", "a1"], reason)


@pytest.mark.parametrize(("at", "reply", "reason"), [*UNUSABLE, ("a2", ("It is", "length"), "truncated_response")])
async def test_an_unusable_turn_rejects_a_conversation_that_is_too_short(at, reply, reason):
    (row,) = (await talk(engine(**{at: reply}), min_turns=3)).rejected
    assert row["reason"] == reason and reason in Converse().rejections


async def test_an_answer_that_max_tokens_cut_is_the_last_one():
    (row,) = (await talk(engine(a2=("It is", "length")))).kept
    assert contents(row) == ["q1?", "a1", "q2?", "It is"]
    assert (row["finish_reason"], row["conversation_end"]) == ("length", "truncated_response")


async def test_a_conversation_ends_where_the_models_context_is_full():
    (row,) = (await talk(engine(a2=" ".join(map(str, range(240)))), min_turns=1, max_turns=9)).kept
    assert len(row["messages"]) < 18 and row["conversation_end"] == "prompt_too_long"


async def test_an_improbable_message_of_the_user_is_unusable():
    fake = engine()
    fake.logprob = -4.0
    (row,) = (await talk(fake, min_logprob=-3.0)).rejected
    assert row["reason"] == "incoherent_turn"


async def test_a_record_with_an_instruction_is_answered_and_goes_on():
    (row,) = (await talk(engine(), record={"instruction": "Plan my week."}, max_turns=2)).kept
    assert contents(row) == ["Plan my week.", "a1", "q2?", "a2"]


async def test_a_record_with_a_conversation_goes_on_from_it():
    before = [{"role": "user", "content": "Plan my week."}, {"role": "assistant", "content": "Gladly."}]
    (row,) = (await talk(engine(), record={"messages": before}, max_turns=2)).kept
    assert contents(row) == ["Plan my week.", "Gladly.", "q2?", "a2"]


async def test_the_assistants_system_prompt_is_held_through_all_turns():
    fake = engine()
    record = {"tone": "gruff"}
    (row,) = (await talk(fake, record=record, system_prompt="Be {{ tone }}.", persona="a baker", max_turns=2)).kept
    assert row["system_prompt"] == "Be gruff." and row["messages"][0]["role"] == "system"
    assert all(prompt.startswith("<system>Be gruff.") for prompt in fake.prompts if kind(prompt)[0] == "a")


async def test_a_model_may_be_asked_for_the_users_messages():
    said = iter(["Plan my week.", "Not on Monday."])
    plain = engine().reply
    fake = FakeEngine(
        lambda prompt: json.dumps({"message": next(said)}) if kind(prompt) == "ask" else plain(prompt), 9999
    )
    (row,) = (await talk(fake, user_by="chat", max_turns=2, **GOAL)).kept
    assert contents(row) == ["Plan my week.", "a1", "Not on Monday.", "a2"]
    assert fake.samplings[0].json_schema and "a baker" in fake.prompts[0]


def test_the_users_side_draws_on_the_chat_template_only_where_it_is_drawn():
    assert len(Converse().as_user()) == 1
    assert Converse(user_by="chat").as_user() == []


def test_the_calls_of_a_record_are_those_of_its_turns_and_verdicts():
    user, judge = Sampling(model="user"), Sampling(model="judge")
    calls = Converse(goal="plan", user=user, verdict=judge, min_turns=2, max_turns=3).calls()
    assert [call.model for call in calls].count("user") == 3
    assert [call.model for call in calls].count("judge") == 2


@pytest.mark.parametrize(
    ("keys", "match"),
    [({"min_turns": 5}, "min_turns"), ({"keep_unmet": False}, "keep_unmet"), ({"persona": "{{ who"}, "line 1")],
)
def test_keys_that_do_not_fit_are_refused(keys, match):
    with pytest.raises(pydantic.ValidationError, match=match):
        Converse(**keys)


async def test_a_column_that_is_missing_rejects_the_record():
    step = Converse(persona="{{ persona }}")
    (row,) = (await talk(engine(), persona="{{ persona }}")).rejected
    assert row["reason"] == "missing_column" and "missing_column" in step.rejections
    assert step.needs() == [("persona",)]


@given(st.data())
async def test_every_kept_conversation_alternates_has_enough_turns_and_ends_with_an_answer(data):
    outcomes = st.sampled_from(["", "more?", "How can I help you today?", ("cut", "length"), ("loop", "repetition")])
    count = iter(range(1000))

    def reply(prompt):
        if kind(prompt) == "verdict":
            return data.draw(st.sampled_from(["Yes", "No"]))
        said = data.draw(outcomes)
        return f"{next(count)} and more?" if said == "more?" else said

    finished = await talk(FakeEngine(reply), goal="plan", min_turns=2, max_turns=4)
    for row in finished.kept:
        roles = [turn["role"] for turn in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2) and 2 <= len(roles) // 2 <= 4
    assert {row["reason"] for row in finished.rejected} <= set(Converse(goal="plan").rejections)
