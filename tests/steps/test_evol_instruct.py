"""Evol-Instruct on a scripted engine: rounds, eliminations, what is stored and what is answered."""

import asyncio
from collections import Counter

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.engines import Sampling
from synth.steps.chain import run_record
from synth.steps.evol_instruct import ELIMINATIONS, EvolInstruct
from synth.steps.prompts import render
from tests.steps.fakes import FakeEngine, context, finish

SEED = {"instruction": "Name a bee."}
PROMPTS = {  # how each prompt begins
    name: render(f"evolve_{name}", instruction="", response="", first="", second="")[:40]
    for name in ["constraints", "deepen", "concretize", "reasoning", "complicate_input", "breadth", "equal", "response"]
}


class Script(FakeEngine):
    """Not a model. Evolutions add a plus sign, the judge sees a gain, answers are numbered; each may be scripted."""

    def __init__(self, evolve=None, judge=None, answer=None):
        super().__init__(self.say, max_model_len=100_000)
        self.asked = []
        self.script = {"evolve": list(evolve or []), "judge": list(judge or []), "answer": list(answer or [])}

    def say(self, prompt):
        name = next((name for name, begin in PROMPTS.items() if prompt.startswith(f"<user>{begin}")), "answer")
        kind = {"equal": "judge", "answer": "answer"}.get(name, "evolve")
        self.asked.append(name)
        text = prompt.removesuffix("<assistant>")
        label, request = ("Response:\n", "") if name == "response" else ("Instruction:\n", "\n\n")
        after = text.rpartition(label)[2]
        after = after.rpartition(request)[0] if request else after  # which is told again at the end
        usual = {"evolve": f"{after}+", "judge": "Not equal.", "answer": f"Answer {self.asked.count('answer')}"}[kind]
        scripted = self.script[kind].pop(0) if self.script[kind] else None
        return usual if scripted is None else scripted


async def evolve(engine=None, record=SEED, number=0, **keys):
    step = EvolInstruct(**keys)
    return await finish(step, number=number, engine=engine or Script(), record=dict(record), columns={})


def rounds(row):
    return [(one["text"], one["operation"]) for one in row["lineage"]]


async def test_the_judge_of_a_gain_is_held_to_its_two_words():
    engine = Script()
    await evolve(engine, rounds=1)
    asked = engine.samplings[engine.asked.index("equal")]
    assert asked.choice == ("Equal", "Not equal")


async def test_each_round_evolves_what_the_round_before_has_made():
    (row,) = (await evolve(rounds=3)).kept
    assert (row["instruction"], row["response"]) == ("Name a bee.+++", "Answer 3")
    assert [text for text, _ in rounds(row)] == ["Name a bee.+", "Name a bee.++", "Name a bee.+++"]
    assert row["messages"][0]["content"] == "Name a bee.+++"


async def test_a_round_is_an_evolution_a_judgement_and_an_answer():
    engine = Script()
    await evolve(engine, rounds=1, operations=dict.fromkeys(PROMPTS.keys() - {"deepen", "equal", "response"}, 0))
    assert engine.asked == ["deepen", "equal", "answer"]


async def test_the_three_calls_have_samplings_of_their_own():
    engine = Script()
    await evolve(
        engine, rounds=1, evolve=Sampling(max_tokens=5), judge=Sampling(max_tokens=6), response=Sampling(max_tokens=7)
    )
    assert [sampling.max_tokens for sampling in engine.samplings] == [5, 6, 7]


async def test_operations_are_drawn_by_weights_that_need_not_sum_to_1():
    drawn = Counter()
    for number in range(300):
        engine = Script()
        weights = {"constraints": 30, "breadth": 10, "deepen": 0, "concretize": 0, "reasoning": 0}
        await evolve(engine, number=number, rounds=1, operations={**weights, "complicate_input": 0}, eliminate=[])
        drawn[engine.asked[0]] += 1
    assert drawn.keys() == {"constraints", "breadth"}
    assert 190 < drawn["constraints"] < 260


async def test_the_same_record_draws_the_same_operations_in_every_run():
    first, again = [(await evolve(rounds=8, number=5)).kept for _ in range(2)]
    assert first == again
    assert rounds(first[0]) != rounds((await evolve(rounds=8, number=6)).kept[0])


def test_weights_that_are_all_0_are_refused():
    with pytest.raises(pydantic.ValidationError, match="at least one weight"):
        EvolInstruct(operations=dict.fromkeys(PROMPTS.keys() - {"equal", "response"}, 0))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"judge": ["Equal. Nothing is added."]}, "no_gain"),
        ({"judge": ["They are both fine."]}, "no_verdict"),
        ({"judge": ['"Equal" or "Not equal"']}, "no_verdict"),
        ({"evolve": ["Name a  bee."]}, "no_gain"),
        ({"evolve": ["Name, a bee!"]}, "no_gain"),
        ({"answer": ["I'm sorry, no."]}, "refusal"),
        ({"answer": ["The ... of it."]}, "empty_words"),
        ({"answer": [""]}, "empty_words"),
        ({"evolve": ["#Rewritten Prompt# Name two."]}, "leaked"),
        ({"evolve": [("Name a bee and", "length")]}, "truncated"),
        ({"evolve": [" "]}, "empty"),
    ],
)
async def test_a_failed_round_goes_on_with_the_instruction_as_it_was(script, reason):
    (row,) = (await evolve(Script(**script), rounds=2)).kept
    assert row["instruction"] == "Name a bee.+"
    failed, evolved = rounds(row)
    assert failed[1].startswith(f"eliminated: {reason} (")
    assert evolved[0] == "Name a bee.+"


@pytest.mark.parametrize(
    ("off", "script"),
    [
        ("no_gain", {"judge": ["Equal"]}),
        ("refusal", {"answer": ["Sorry, no."]}),
        ("empty_words", {"answer": ["of the"]}),
        ("leaked", {"evolve": ["Name two, as in the given prompt."]}),
    ],
)
async def test_an_elimination_that_is_off_eliminates_nothing(off, script):
    others = [name for name in ELIMINATIONS if name != off]
    assert (await evolve(Script(**script), rounds=1, eliminate=others)).kept
    assert (await evolve(Script(**script), rounds=1, eliminate=[off])).rejected


async def test_a_record_that_no_round_evolved_is_rejected_with_what_failed():
    (row,) = (await evolve(Script(judge=["Equal", "Equal"]), rounds=2)).rejected
    assert (row["reason"], row["detail"], row["instruction"]) == ("not_evolved", "no_gain, no_gain", "Name a bee.")


async def test_a_record_that_no_round_evolved_may_be_kept_and_is_answered():
    (row,) = (await evolve(Script(judge=["Equal"]), rounds=1, keep_unevolved=True)).kept
    assert (row["instruction"], row["response"]) == ("Name a bee.", "Answer 1")


async def test_a_response_that_an_unevolved_record_brought_stays():
    record = SEED | {"response": "Maja"}
    (row,) = (await evolve(Script(judge=["Equal"]), record, rounds=1, keep_unevolved=True)).kept
    assert row["response"] == "Maja"


async def test_a_response_that_an_evolved_record_brought_does_not():
    (row,) = (await evolve(record=SEED | {"response": "Maja"}, rounds=1, answers="none")).kept
    assert row["response"] is None


async def test_every_stored_round_is_a_row_with_the_lineage_up_to_it():
    kept = (await evolve(Script(judge=[None, "Equal"]), rounds=3, store="every", number=4)).kept
    assert [row["id"] for row in kept] == ["4/0", "4/1"]
    assert [row["instruction"] for row in kept] == ["Name a bee.+", "Name a bee.++"]
    assert [len(row["lineage"]) for row in kept] == [1, 3]
    assert rounds(kept[1])[1][1].startswith("eliminated: no_gain")


@pytest.mark.parametrize(
    ("answers", "eliminate", "responses", "calls"),
    [
        ("every", None, ["Answer 1", "Answer 2"], 2),
        ("last", None, [None, "Answer 2"], 2),
        ("none", None, [None, None], 0),
        ("every", [], ["Answer 1", "Answer 2"], 2),
        ("last", ["no_gain"], [None, "Answer 1"], 1),
        ("none", ["leaked"], [None, None], 0),
    ],
)
async def test_answers_says_which_rows_have_a_response(answers, eliminate, responses, calls):
    engine = Script()
    kept = (await evolve(engine, rounds=2, store="every", answers=answers, eliminate=eliminate)).kept
    assert [row["response"] for row in kept] == responses
    assert engine.asked.count("answer") == calls


def test_eliminations_by_answers_need_answers():
    with pytest.raises(pydantic.ValidationError, match="refusal checks answers"):
        EvolInstruct(answers="none", eliminate=["no_gain", "refusal"])


async def test_the_finish_reason_is_that_of_the_rows_own_answer():
    engine = Script(answer=[("half an", "length")], judge=[None, "Equal"])
    (row,) = (await evolve(engine, rounds=2)).kept
    assert (row["response"], row["finish_reason"]) == ("half an", "length")


async def test_an_answer_that_is_empty_is_a_rejection_where_no_round_looks_at_it():
    (row,) = (await evolve(Script(answer=[""]), rounds=1, eliminate=[])).rejected
    assert (row["reason"], row["instruction"]) == ("empty_response", "Name a bee.+")


async def test_answers_are_given_under_the_records_system_prompt():
    engine = Script()
    await evolve(engine, SEED | {"system_prompt": "Buzz."}, rounds=1)
    assert engine.prompts[-1].startswith("<system>Buzz.<user>Name a bee.+")


@pytest.mark.parametrize("record", [{}, {"prompt": "Hi"}, {"instruction": None}, {"instruction": " \n"}])
async def test_a_record_without_an_instruction_is_rejected(record):
    (row,) = (await evolve(record=record)).rejected
    assert row["reason"] == "no_instruction"
    assert row["usage"]["prompt_tokens"] == 0


async def test_an_instruction_too_long_to_be_evolved_fails_each_round():
    engine = Script()
    engine.max_model_len = 300
    (row,) = (await evolve(engine, {"instruction": "a" * 300}, rounds=2)).rejected
    assert row["detail"] == "prompt_too_long, prompt_too_long"


async def test_from_nothing_the_first_instruction_is_drawn_as_in_magpie():
    engine = Script()
    engine.reply = lambda prompt: "Drawn." if prompt == "<user>" else engine.say(prompt)
    (row,) = (await evolve(engine, {}, rounds=1, draw=Sampling(max_tokens=9))).kept
    assert row["instruction"] == "Drawn.+"
    assert rounds(row)[0] == ("Drawn.", "drawn")
    assert engine.samplings[0].max_tokens == 9


@pytest.mark.parametrize(
    ("drawn", "reason"), [("", "empty_instruction"), (("Name a", "length"), "truncated_instruction")]
)
async def test_a_first_instruction_that_is_none_is_rejected(drawn, reason):
    engine = FakeEngine(lambda prompt: drawn)
    assert (await evolve(engine, {}, draw=Sampling())).rejected[0]["reason"] == reason


async def test_only_a_record_that_holds_nothing_is_drawn():
    assert (await evolve(record={"prompt": "Hi"}, draw=Sampling())).rejected[0]["reason"] == "no_instruction"


async def test_a_response_is_evolved_in_place_of_the_instruction():
    engine = Script()
    (row,) = (await evolve(engine, SEED | {"response": "Maja"}, rounds=2, target="response")).kept
    assert (row["instruction"], row["response"]) == ("Name a bee.", "Maja++")
    assert rounds(row) == [("Maja+", "response"), ("Maja++", "response")]
    assert engine.asked == ["response", "response"]


async def test_a_response_to_evolve_is_asked_for_where_there_is_none():
    (row,) = (await evolve(rounds=1, target="response")).kept
    assert row["response"] == "Answer 1+"


@pytest.mark.parametrize("evolved", ["Maja", "I'm sorry, no.", "of the", "The instruction below", ("Ma", "length"), ""])
async def test_an_evolved_response_is_eliminated_too(evolved):
    engine = Script(evolve=[evolved])
    (row,) = (await evolve(engine, SEED | {"response": "Maja"}, rounds=2, target="response")).kept
    assert row["response"] == "Maja+"
    assert rounds(row)[0][1].startswith("eliminated: ")


@pytest.mark.parametrize(
    ("keys", "script"),
    [
        ({}, {"judge": ["Not equal"] * 3, "answer": ["Sorry, no."] * 3}),
        ({"keep_unevolved": True}, {"answer": ["Sorry, no."] * 3}),
        ({"eliminate": []}, {}),
        ({"answers": "none", "store": "every"}, {}),
        ({"store": "every", "answers": "every", "eliminate": ["no_gain"]}, {}),
        ({"target": "response"}, {}),
    ],
)
async def test_calls_tells_every_call_of_a_record_that_costs_most(keys, script):
    given = {name: Sampling(max_tokens=size) for size, name in enumerate(["evolve", "judge", "response"], 5)}
    engine = Script(**script)
    await evolve(engine, rounds=3, **given, **keys)
    result = [call.max_tokens for call in EvolInstruct(rounds=3, **given, **keys).calls()]
    assert result == [sampling.max_tokens for sampling in engine.samplings]


async def test_records_do_not_wait_for_each_other():
    quick, engine = asyncio.Event(), Script()
    generate = engine.generate

    async def slow(prompt, sampling):
        if "slow" in "".join(map(chr, prompt)):
            await quick.wait()
        return await generate(prompt, sampling)

    engine.generate = slow
    shared = context(EvolInstruct(rounds=4), engine=engine, columns={})
    async with asyncio.timeout(5):
        waiting = asyncio.create_task(run_record(0, {"instruction": "slow"}, shared))
        assert (await run_record(1, {"instruction": "fast"}, shared)).kept
        quick.set()
        assert (await waiting).kept


ANSWERS = st.lists(st.tuples(st.text(max_size=60), st.sampled_from(["stop", "length"])), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(ANSWERS, st.sampled_from(["last", "every"]), st.sampled_from(["last", "every", "none"]), st.booleans())
async def test_whatever_the_model_says_a_record_ends_in_rows_or_a_rejection(said, store, answers, drawn):
    turn = iter(range(10**6))
    engine = FakeEngine(lambda prompt: said[next(turn) % len(said)], max_model_len=100_000)
    keys = {"store": store, "answers": answers, "rounds": 2, "draw": Sampling() if drawn else None}
    finished = await evolve(engine, {} if drawn else SEED, **keys)
    assert finished.kept or finished.rejected
    assert not [row for row in finished.rejected if row["reason"] == "error"]
    assert all(row["instruction"] for row in finished.kept)


TALK = [
    {"role": "user", "content": "Name a bee."},
    {"role": "assistant", "content": "The carpenter bee."},
    {"role": "user", "content": "And a wasp?"},
    {"role": "assistant", "content": "The hornet."},
]


@pytest.mark.parametrize("given_turns", [TALK, TALK[:3]], ids=["answered", "unanswered"])
async def test_the_last_turn_of_a_conversation_is_evolved_in_it_and_answered_in_it(given_turns):
    engine = Script()
    (row,) = (await evolve(engine, record={"messages": given_turns}, turn="last", rounds=2)).kept
    assert [one["content"] for one in row["messages"]] == [
        "Name a bee.", "The carpenter bee.", "And a wasp?++", "Answer 2",
    ]  # fmt: skip
    assert (row["instruction"], row["response"]) == ("Name a bee.", "The carpenter bee.")
    answers = [prompt for name, prompt in zip(engine.asked, engine.prompts, strict=True) if name == "answer"]
    assert answers[-1].endswith("<assistant>The carpenter bee.<user>And a wasp?++<assistant>")


async def test_the_evolving_prompt_shows_the_conversation_before_the_last_turn():
    engine = Script()
    await evolve(engine, record={"messages": TALK}, turn="last", rounds=1)
    assert '{"assistant": "The carpenter bee."}' in engine.prompts[0] and "hornet" not in engine.prompts[0]


async def test_every_round_of_a_last_turn_is_a_row_of_the_whole_conversation():
    rows = (await evolve(record={"messages": TALK}, turn="last", rounds=2, store="every", answers="every")).kept
    assert [row["messages"][2]["content"] for row in rows] == ["And a wasp?+", "And a wasp?++"]
    assert all(len(row["messages"]) == 4 for row in rows)


async def test_a_system_prompt_is_held_when_the_last_turn_is_evolved():
    record = {"messages": TALK, "system_prompt": "Be brief."}
    engine = Script()
    (row,) = (await evolve(engine, record=record, turn="last", rounds=1)).kept
    assert (row["system_prompt"], row["messages"][0]["role"]) == ("Be brief.", "system")
    assert engine.prompts[-1].startswith("<system>Be brief.<user>Name a bee.")


async def test_a_last_turn_that_did_not_evolve_is_rejected_with_its_conversation():
    engine = Script(judge=["Equal"])
    (row,) = (await evolve(engine, record={"messages": TALK}, turn="last", rounds=1)).rejected
    assert row["reason"] == "not_evolved" and row["messages"][:2] == TALK[:2]


async def test_a_last_turn_that_copies_an_earlier_message_is_eliminated():
    engine = Script(evolve=["The carpenter bee."])
    (row,) = (await evolve(engine, record={"messages": TALK}, turn="last", rounds=1)).rejected
    assert "leaked" in row["detail"]


async def test_a_record_of_one_turn_evolves_as_its_only_turn():
    (row,) = (await evolve(turn="last", rounds=1)).kept
    assert row["instruction"] == "Name a bee.+"


async def test_a_conversation_of_one_turn_needs_no_column_for_its_instruction():
    (row,) = (await evolve(record={"messages": TALK[:2]}, turn="last", rounds=1)).kept
    assert [one["content"] for one in row["messages"]] == ["Name a bee.+", "Answer 1"]
