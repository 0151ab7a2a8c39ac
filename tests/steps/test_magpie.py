"""Magpie: conversations drawn from the start of a user's turn."""

from collections import Counter

import pydantic
import pytest

from synth.engines import Sampling
from synth.steps.magpie import Magpie
from tests.steps.fakes import FakeEngine, finish, talk


def turn(prompt: str) -> str:
    """`q1`, `a1`, `q2`, … as the conversation goes."""
    kind = "q" if prompt.endswith("<user>") else "a"
    return f"{kind}{prompt.count('<user>')}"


def contents(row):
    return [message["content"] for message in row["messages"]]


@pytest.fixture
def engine():
    return FakeEngine(turn)


def failing_at(which: str, how):
    return FakeEngine(lambda prompt: how if turn(prompt) == which else turn(prompt))


async def test_an_instruction_is_drawn_and_answered(engine):
    (row,) = (await talk(engine)).kept
    assert engine.prompts == ["<user>", "<user>q1<assistant>"]
    assert (row["instruction"], row["response"], row["system_prompt"]) == ("q1", "a1", None)
    assert row["finish_reason"] == "stop"


async def test_instruction_and_response_are_sampled_separately(engine):
    await talk(engine, instruction={"temperature": 0.8, "max_tokens": 50}, response={"top_p": 0.5})
    query, answer = engine.samplings
    assert (query.temperature, query.max_tokens, query.top_p) == (0.8, 50, 1.0)
    assert (answer.top_p, answer.max_tokens) == (0.5, 1024)


async def test_answers_are_greedy_unless_told_otherwise(engine):
    await talk(engine)
    assert [sampling.temperature for sampling in engine.samplings] == [0.9, 0.0]


async def test_a_system_prompt_is_a_template_over_the_records_columns(engine):
    steps = Magpie(system_prompts="You talk with {{ persona }}, who is {{ mood | default('calm') }}.")
    (row,) = (await finish(steps, engine=engine, columns={}, record={"persona": "{{ 7 * 7 }}"})).kept
    assert row["system_prompt"] == "You talk with {{ 7 * 7 }}, who is calm."
    assert engine.prompts[0] == "<system>You talk with {{ 7 * 7 }}, who is calm.<user>"
    assert steps.needs() == [("persona",)]


async def test_a_system_prompt_that_does_not_fit_a_record_rejects_it(engine):
    steps = Magpie(system_prompts="You talk with {{ persona }}.")
    (row,) = (await finish(steps, engine=engine, columns={}, record={"person": "a baker"})).rejected
    assert row["reason"] == "missing_column" and "missing_column" in steps.rejections


def test_a_system_prompt_that_can_not_be_read_is_refused():
    with pytest.raises(pydantic.ValidationError, match="line 1: expected name or number"):
        Magpie(system_prompts="You talk with {{ persona.")


async def test_n_turns_makes_a_conversation_of_so_many_turns(engine):
    (row,) = (await talk(engine, n_turns=3)).kept
    assert contents(row) == ["q1", "a1", "q2", "a2", "q3", "a3"]
    assert (row["instruction"], row["response"]) == ("q1", "a1")


async def test_end_with_user_leaves_the_last_message_unanswered(engine):
    (row,) = (await talk(engine, n_turns=2, end_with_user=True)).kept
    assert contents(row) == ["q1", "a1", "q2"]


async def test_only_instruction_is_one_message_and_one_call(engine):
    (row,) = (await talk(engine, only_instruction=True)).kept
    assert contents(row) == ["q1"]
    assert row["response"] is None
    assert row["finish_reason"] == "stop"
    assert len(engine.prompts) == 1


async def test_only_instruction_and_end_with_user_agree(engine):
    (row,) = (await talk(engine, only_instruction=True, end_with_user=True)).kept
    assert contents(row) == ["q1"]


def test_only_instruction_of_several_turns_is_refused():
    with pytest.raises(pydantic.ValidationError, match="can't be combined"):
        Magpie(only_instruction=True, n_turns=2)


async def test_a_kept_system_prompt_is_in_the_row_and_in_every_prompt(engine):
    (row,) = (await talk(engine, system_prompts="maths")).kept
    assert engine.prompts == ["<system>maths<user>", "<system>maths<user>q1<assistant>"]
    assert (row["system_prompt"], contents(row)) == ("maths", ["maths", "q1", "a1"])


async def test_a_system_prompt_that_is_not_kept_steers_the_users_words_only(engine):
    (row,) = (await talk(engine, system_prompts="maths", keep_system_prompt=False, n_turns=2)).kept
    assert engine.prompts[:3] == [
        "<system>maths<user>",
        "<user>q1<assistant>",
        "<system>maths<user>q1<assistant>a1<user>",
    ]
    assert (row["system_prompt"], contents(row)[0]) == (None, "q1")


async def test_the_lineage_tells_the_system_prompt_and_the_instruction(engine):
    (row,) = (await talk(engine, system_prompts="maths", keep_system_prompt=False)).kept
    assert [(one["operation"], one["text"]) for one in row["lineage"]] == [
        ("system_prompt", "maths"),
        ("instruction", "q1"),
    ]


async def test_system_prompts_are_drawn_by_weights_that_need_not_sum_to_1(engine):
    prompts = [{"text": "often", "weight": 30}, {"text": "seldom", "weight": 10}, {"text": "never", "weight": 0}]
    drawn = Counter()
    for number in range(400):
        (row,) = (await talk(engine, number, system_prompts=prompts)).kept
        drawn[row["system_prompt"]] += 1
    assert drawn.keys() == {"often", "seldom"}
    assert 260 < drawn["often"] < 340


async def test_plain_texts_among_system_prompts_have_weight_1(engine):
    assert [prompt.weight for prompt in Magpie(system_prompts=["a", {"text": "b", "weight": 0.5}]).system_prompts] == [
        1,
        0.5,
    ]


async def test_no_system_prompt_can_have_its_share(engine):
    (row,) = (await talk(engine, system_prompts=[{"text": None}])).kept
    assert row["system_prompt"] is None
    assert engine.prompts[0] == "<user>"


async def test_the_same_record_draws_the_same_system_prompt_in_every_run(engine):
    prompts = [str(number) for number in range(100)]
    first, again = [(await talk(engine, 5, system_prompts=prompts)).kept[0]["system_prompt"] for _ in range(2)]
    assert first == again


def test_weights_that_are_all_0_are_refused():
    with pytest.raises(pydantic.ValidationError, match="at least one weight"):
        Magpie(system_prompts=[{"text": "a", "weight": 0}])


@pytest.mark.parametrize(
    ("which", "how", "reason"),
    [
        ("q1", ("q1", "length"), "truncated_instruction"),
        ("q1", " \n", "empty_instruction"),
        ("a1", "", "empty_response"),
        ("a1", ("a1", "length"), "truncated_response"),
        ("q2", ("q2", "length"), "truncated_instruction"),
        ("q2", "", "empty_instruction"),
        ("a2", "", "empty_response"),
    ],
)
async def test_a_conversation_without_all_its_turns_is_rejected(which, how, reason):
    finished = await talk(failing_at(which, how), n_turns=2)
    assert [row["reason"] for row in finished.rejected] == [reason]
    assert not finished.kept


async def test_a_last_answer_that_was_cut_is_kept_and_says_so():
    (row,) = (await talk(failing_at("a2", ("half an", "length")), n_turns=2)).kept
    assert contents(row)[-1] == "half an"
    assert row["finish_reason"] == "length"


async def test_a_rejection_has_what_was_said_so_far():
    (row,) = (await talk(failing_at("q2", ("half a q", "length")), n_turns=2)).rejected
    assert contents(row) == ["q1", "a1", "half a q"]
    assert (row["instruction"], row["response"], row["rejected_by"]) == ("q1", "a1", "first")
    assert row["usage"]["completion_tokens"] == len("q1a1half a q")


async def test_what_a_source_gave_stays_in_the_record(engine):
    finished = await finish(Magpie(), engine=engine, record={"topic": "bees"})
    assert '"bees"' in finished.kept[0]["extra"]


@pytest.mark.parametrize(
    "keys", [{}, {"n_turns": 3}, {"n_turns": 2, "end_with_user": True}, {"only_instruction": True}]
)
async def test_calls_tells_every_call_of_a_record(engine, keys):
    magpie = Magpie(instruction=Sampling(max_tokens=5), response=Sampling(max_tokens=9), **keys)
    await talk(engine, instruction=magpie.instruction, response=magpie.response, **keys)
    assert [call.max_tokens for call in magpie.calls()] == [sampling.max_tokens for sampling in engine.samplings]


async def test_an_instruction_that_surprises_the_model_which_wrote_it_is_incoherent(engine):
    engine.logprob = -3.2
    (rejection,) = (await talk(engine, min_logprob=-3.0)).rejected
    assert (rejection["reason"], rejection["detail"]) == (
        "incoherent_instruction",
        "a mean log-probability of -3.20",
    )
    assert len(engine.prompts) == 1
    assert (await talk(engine, min_logprob=-3.5)).kept
    assert (await talk(engine)).kept


async def test_an_engine_that_tells_no_probabilities_makes_nothing_incoherent(engine):
    assert (await talk(engine, min_logprob=-0.1)).kept
    assert [sampling.logprob for sampling in engine.samplings] == [True, False]


async def test_a_prefix_begins_the_first_words_of_the_user_and_is_a_part_of_them():
    engine = FakeEngine(lambda prompt: " counts sheep." if prompt.endswith("function that") else "words")
    finished = await talk(engine, prefix="Write a function that", n_turns=2)
    (row,) = finished.kept
    assert [turn["content"] for turn in row["messages"]] == ["Write a function that counts sheep.", *["words"] * 3]
    assert engine.prompts[0] == "<user>Write a function that"
    assert engine.prompts[2].endswith("<assistant>words<user>")
