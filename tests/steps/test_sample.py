"""Several answers to one question: how many are drawn, what passes, and what the columns tell of it."""

import asyncio
import itertools
import random

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.configuration.column_types import type_from_text
from synth.engines import Answer, Sampling
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.sample import Sample
from synth.steps.strategy import Step, Strategy
from synth.verifiers import Verdict
from tests.steps.fakes import FakeEngine, FakeTemplate, finish

RECORD = {"instruction": "What is 3 + 4?"}


class Says:
    """A verifier for which an answer is the number that it ends with, and passes where that is `right`."""

    def __init__(self, right: str = "7"):
        self.right = right

    async def verify(self, record):
        await asyncio.sleep(0)
        text = record["response"]
        if text in ("slow", "broken"):
            return Verdict({"slow": "timeout", "broken": "error"}[text], 0.0)
        if text == "raises":
            raise ZeroDivisionError("of its own")
        return Verdict(*(("passed", 1.0) if text.endswith(self.right) else ("failed", 0.0)), detail=text)

    def extracted(self, record):
        last = record["response"].split()[-1]
        return last if last.isdigit() else None

    def needs(self):
        return [("hint",)]


class Dumb:
    """A verifier that extracts nothing."""

    async def verify(self, record):
        return Verdict("passed", 1.0)

    def needs(self):
        return []


def said(*answers):
    """A scripted engine that gives these answers in turn."""
    turn = iter(answers)
    return FakeEngine(lambda prompt: next(turn))


async def sample(engine, record=RECORD, **keys):
    step = Sample(**{"verifier": Says()} | keys)
    columns = {name: type_from_text(kind) for name, kind in step.columns.items()}
    finished = await finish(step, engine=engine, record=dict(record), columns=columns)
    (row,) = finished.kept + finished.rejected
    return row


def verdicts(row):
    return [one["verdict"] for one in row["candidates"]]


async def test_all_answers_stay_with_their_verdicts_in_the_order_in_which_they_were_drawn():
    row = await sample(said("is 7", "is 8"), n=2)
    (first, second) = row["candidates"]
    assert first == {
        "model": "fake", "text": "is 7", "finish_reason": "stop", "tokens": 4, "verdict": "passed", "score": 1.0,
        "detail": "is 7", "answer": "7", "rating": None, "runs": None,
    }  # fmt: skip
    assert (second["text"], second["verdict"], second["answer"]) == ("is 8", "failed", "8")
    assert (row["pass_rate"], row["verified_answer"], row["response"]) == (0.5, "7", None)


@pytest.mark.parametrize(
    ("passing", "waves"),
    [
        ([0], [1]),  # an easy question costs one answer
        ([1], [1, 1]),
        ([5], [1, 1, 2, 4]),  # a hard one as many again as were drawn
        ([15], [1, 1, 2, 4, 8]),
        ([], [1, 1, 2, 4, 8]),
    ],
)
async def test_waves_grow_until_one_passes_or_all_are_drawn(passing, waves):
    assert await waves_of(passing, n=16, k=1) == waves


@pytest.mark.parametrize(
    ("passing", "waves"),
    [
        ([0, 1, 2, 3], [4]),
        ([0, 1, 2, 5], [4, 2]),  # three of four passed, so two more are likely to do
        ([0, 4, 5, 6], [4, 4]),
        ([0, 1], [4, 4, 8]),
    ],
)
async def test_a_wave_is_as_large_as_the_share_that_passed_calls_for(passing, waves):
    assert await waves_of(passing, n=16, k=4) == waves


async def test_a_question_is_given_up_where_none_of_the_first_answers_passes():
    assert await waves_of([], n=16, k=1, give_up=5) == [1, 1, 2, 1]
    assert await waves_of([], n=16, give_up=4) == [4]
    assert await waves_of([3], n=16, give_up=4) == [4, 12]


async def test_without_k_all_are_drawn_at_once():
    assert await waves_of([0], n=16) == [16]


async def waves_of(passing, **keys):
    """How many requests the engine had at once, wave by wave."""
    engine = Waves(passing)
    await sample(engine, **keys)
    return engine.waves


class Waves(FakeEngine):
    """An engine on which the draws of these numbers pass, and that answers when nobody asks any more."""

    def __init__(self, passing):
        super().__init__()
        self.passing, self.waves, self.draws, self.open = passing, [], itertools.count(), 0

    async def generate(self, prompt, sampling):
        self.open += 1
        draw, last = next(self.draws), None
        while last != self.open:
            last = self.open
            await asyncio.sleep(0)
        if not self.waves or sum(self.waves) <= draw:
            self.waves.append(self.open)
        await asyncio.sleep(0.001)
        self.open -= 1
        text = "7" if draw in self.passing else "8"
        return Answer([ord(text)], "stop", len(prompt))


class Jittered(FakeEngine):
    """An engine whose answers depend on their seeds alone, and come in any order."""

    def __init__(self, order):
        super().__init__()
        self.order = random.Random(order)

    async def generate(self, prompt, sampling):
        await asyncio.sleep(self.order.random() / 500)
        text = str(random.Random(sampling.seed).randint(0, 20))
        return Answer([ord(letter) for letter in text], "stop", len(prompt))


@pytest.mark.parametrize("keys", [{"k": 2, "give_up": 9}, {"k": 3, "passes": "majority"}])
async def test_what_is_drawn_does_not_depend_on_which_answer_comes_first(keys):
    rows = [await sample(Jittered(order), n=32, **keys) for order in range(4)]
    assert all(row == rows[0] for row in rows) and len(rows[0]["candidates"]) > 2


async def test_every_answer_has_a_seed_of_its_own_and_the_same_prompt():
    engine = said(*["8"] * 8)
    await sample(engine, n=8, k=1)
    assert len({sampling.seed for sampling in engine.samplings}) == 8 and len(set(engine.prompts)) == 1


async def test_models_and_samplings_are_taken_in_turn():
    engines = {name: said(*["is 7"] * 4) for name in ("main", "small", "large")}
    step = Sample(n=4, model=["small", "large"], sampling=[Sampling(temperature=0.3), Sampling(temperature=0.9)])
    columns = {name: type_from_text(kind) for name, kind in step.columns.items()}
    endpoints = {name: Endpoint(one, FakeTemplate(), name.upper()) for name, one in engines.items()}
    chain = Strategy("test", [Step("sample", step, columns)], {})
    (row,) = (await run_record(0, dict(RECORD), Context(chain, endpoints, 0))).kept
    assert [one["model"] for one in row["candidates"]] == ["SMALL", "LARGE"] * 2
    assert [sampling.temperature for sampling in engines["large"].samplings] == [0.9, 0.9]
    assert step.models == ["small", "large"] and [call.model for call in step.calls()] == ["small", "large"] * 2


async def test_what_is_appended_is_for_the_model_alone():
    engine = said("7")
    row = await sample(engine, n=1, append="Put the answer last.")
    assert engine.prompts == ["<user>What is 3 + 4?\n\nPut the answer last.<assistant>"]
    assert row["instruction"] == "What is 3 + 4?"


async def test_an_answer_of_the_sources_own_is_no_part_of_the_prompt():
    messages = [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "Seven."}]
    engine = said("7")
    await sample(engine, {"messages": messages}, n=1)
    assert engine.prompts == ["<user>3 + 4?<assistant>"]


async def test_the_verifier_sees_the_answer_in_response_and_in_messages():
    seen = []

    class Looks(Dumb):
        async def verify(self, record):
            seen.append((record["response"], record["messages"][-1], record["hint"]))
            return Verdict("passed", 1.0)

    await sample(said("7"), RECORD | {"hint": "add"}, n=1, verifier=Looks())
    assert seen == [("7", {"role": "assistant", "content": "7"}, "add")]


async def test_empty_and_cut_answers_fail_unseen():
    row = await sample(said(("is 7", "length"), "", "is 7"), n=3)
    assert verdicts(row) == ["failed", "failed", "passed"]
    assert [one["detail"] for one in row["candidates"]] == ["cut by max_tokens", "empty", "is 7"]


async def test_an_answer_of_which_nobody_knows_is_no_pass_and_no_fail():
    row = await sample(said("slow", "broken", "raises", "7"), n=4)
    assert verdicts(row) == ["timeout", "error", "error", "passed"]
    assert row["candidates"][2]["detail"] == "ZeroDivisionError: of its own"
    assert row["pass_rate"] == 1.0
    assert (await sample(said("slow"), n=1))["pass_rate"] is None


async def test_an_answer_that_a_server_withholds_ends_no_other():
    class Withholds(FakeEngine):
        async def generate(self, prompt, sampling):
            answer = await super().generate(prompt, sampling)
            withheld = "content_filter" if len(self.prompts) == 1 else None
            return Answer(answer.token_ids, "stop", 1, withheld=withheld)

    row = await sample(Withholds(lambda prompt: "7"), n=3)
    assert verdicts(row) == ["error", "passed", "passed"]
    assert row["candidates"][0]["detail"] == "withheld: content_filter"


async def test_where_all_are_refused_the_record_is_rejected_for_it():
    row = await sample(FakeEngine(max_model_len=5), n=8, k=1)
    assert row["reason"] == "prompt_too_long" and row["usage"]["prompt_tokens"] == 0


async def test_without_a_verifier_nothing_is_said_of_the_answers():
    step = Sample(n=2)
    assert list(step.columns) == ["candidates"]
    row = await sample(said("a", "b"), n=2, verifier=None)
    assert verdicts(row) == [None, None] and "pass_rate" not in row


async def test_the_answers_that_agree_with_most_others_pass():
    row = await sample(said("is 7", "is 8", "so 7", "no idea"), n=4, passes="majority")
    assert verdicts(row) == ["passed", "failed", "passed", "failed"]
    assert (row["pass_rate"], row["verified_answer"]) == (0.5, "7")


async def test_a_majority_ends_the_drawing_when_k_agree():
    engine = said(*["7", "8", "7", "6", *["5"] * 12])
    row = await sample(engine, n=16, k=2, passes="majority")
    assert len(row["candidates"]) == 4


@pytest.mark.parametrize("answers", [["7", "8"], ["7", "8", "8", "7"], ["7", "what"]])
async def test_a_tie_and_a_single_voice_are_no_majority(answers):
    row = await sample(said(*answers), n=len(answers), passes="majority")
    assert row["reason"] == "no_majority" and len(row["candidates"]) == len(answers)


async def test_of_answers_that_are_given_as_often_the_first_may_be_taken():
    row = await sample(said("8", "7", "7", "8"), n=4, passes="majority", ties="first")
    assert row["verified_answer"] == "8"


async def test_no_answer_extracted_from_any_is_a_reason_of_its_own():
    assert (await sample(said("what", "who"), n=2, passes="majority"))["reason"] == "none_extracted"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"n": 2, "k": 4, "verifier": Dumb()}, "k: is 4, above n=2"),
        ({"n": 2, "give_up": 4, "verifier": Dumb()}, "give_up: is 4, above n=2"),
        ({"n": 4, "k": 2}, "k: needs a verifier, since no answer passes without"),
        ({"passes": "majority"}, "give a verifier that extracts"),
        ({"passes": "majority", "verifier": Dumb()}, r"Dumb has no extracted\(record\)"),
        ({"passes": "majority", "verifier": Says(), "k": 1}, "k: is 1, and a majority needs 2"),
        ({"n": 2, "sampling": Sampling(temperature=0)}, "greedy answers of a model are all the same"),
        ({"n": 3, "model": ["a", "b"], "sampling": Sampling(temperature=0)}, "greedy answers of a model"),
        ({"verifier": {"_target_": "synth.models.model.Model"}}, "is not a valid verifier"),
    ],
)
def test_what_can_not_be_is_refused(keys, problem):
    with pytest.raises(pydantic.ValidationError, match=problem):
        Sample(**keys)


def test_one_greedy_answer_of_each_model_will_do():
    Sample(n=2, model=["a", "b"], sampling=Sampling(temperature=0))
    Sample(n=2, sampling=[Sampling(temperature=0), Sampling(temperature=1)])


def test_the_verifiers_columns_are_needed_where_it_verifies():
    assert ("hint",) in Sample(verifier=Says()).needs()
    assert ("hint",) not in Sample(verifier=Says(), passes="majority").needs()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["7", "8", "", "slow", "raises"]), min_size=32, max_size=32),
    st.integers(1, 32),
    st.integers(1, 32),
    st.integers(1, 32),
)
async def test_no_more_are_drawn_than_n_and_drawing_ends_only_for_a_reason(answers, n, k, give_up):
    k, give_up = min(k, n), min(give_up, n)
    row = await sample(said(*answers), n=n, k=k, give_up=give_up)
    drawn, passed = len(row["candidates"]), verdicts(row).count("passed")
    assert drawn == n or passed >= k or (not passed and drawn == give_up)
    assert drawn <= n and (passed or drawn <= give_up)


async def test_a_question_is_needed():
    assert (await sample(said("7"), {}))["reason"] == "no_instruction"
