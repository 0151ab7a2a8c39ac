"""The handle that a step talks to the model through."""

import asyncio

import pytest

from synth.engines import Sampling
from synth.records import Rejection, Usage, derive_seed
from synth.steps.endpoints import LONG, Endpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from tests.steps.fakes import FakeEngine, FakeTemplate


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def llm(engine, ledger):
    return handle(engine, ledger)


def handle(engine, ledger=None, seed=7, id="17", step="judge"):
    return LLM({"main": Endpoint(engine, FakeTemplate(), "fake")}, ledger or Ledger(), seed, id, step)


async def test_a_text_is_asked_as_a_users_turn(llm, engine):
    await llm.chat("why?")
    assert engine.prompts == ["<user>why?<assistant>"]


async def test_a_system_prompt_comes_before_the_conversation(llm, engine):
    await llm.chat([{"role": "user", "content": "why?"}], system="be kind")
    assert engine.prompts == ["<system>be kind<user>why?<assistant>"]


async def test_a_query_ends_where_the_users_words_start(llm, engine):
    await llm.query()
    await llm.query([{"role": "system", "content": "maths"}])
    assert engine.prompts == ["<user>", "<system>maths<user>"]


async def test_chat_and_query_have_stops_of_their_own_beside_those_given(llm, engine):
    await llm.chat("why?", Sampling(stop=("END",), stop_token_ids=(9,)))
    await llm.query()
    assert [(sampling.stop, sampling.stop_token_ids) for sampling in engine.samplings] == [
        (("END", "</answer>"), (9, 2)),
        ((), (1,)),
    ]


async def test_keywords_change_single_fields_of_the_sampling(llm, engine):
    await llm.chat("why?", Sampling(temperature=0.9, top_p=0.5), max_tokens=5)
    (sampling,) = engine.samplings
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.9, 0.5, 5)


async def test_an_unknown_keyword_is_refused(llm):
    with pytest.raises(Exception, match="temprature"):
        await llm.chat("why?", temprature=1)


async def test_every_call_has_a_seed_of_its_own_from_run_record_step_and_call(llm, engine):
    await llm.chat("same")
    await llm.chat("same")
    assert [sampling.seed for sampling in engine.samplings] == [derive_seed(7, "17", "judge", call) for call in (0, 1)]


async def test_calls_side_by_side_have_seeds_in_the_order_in_which_they_start(llm, engine):
    await asyncio.gather(llm.chat("one"), llm.chat("two"))
    seeds = dict(zip(engine.prompts, (sampling.seed for sampling in engine.samplings), strict=True))
    assert seeds["<user>two<assistant>"] == derive_seed(7, "17", "judge", 1)


async def test_others_go_on_while_a_long_prompt_is_encoded_and_it_keeps_its_own_seed():
    engine = FakeEngine(max_model_len=2 * LONG)
    llm = handle(engine)
    asked = "long " * LONG, "a" * (LONG + 1), "short"
    await asyncio.gather(*map(llm.chat, asked), return_exceptions=True)
    assert engine.prompts[0] == "<user>short<assistant>"
    assert [sampling.seed for sampling in engine.samplings] == [derive_seed(7, "17", "judge", call) for call in (2, 1)]


@pytest.mark.parametrize("other", [{"seed": 8}, {"id": "18"}, {"step": "judge#2"}])
async def test_other_runs_records_and_steps_have_other_randomness(engine, other):
    assert handle(engine).rng.random() == handle(engine).rng.random() != handle(engine, **other).rng.random()


async def test_a_completion_is_stripped_and_tells_how_it_ended(ledger):
    llm = handle(FakeEngine(lambda prompt: (" half a \n", "length")), ledger)
    completion = await llm.chat("why?")
    assert (completion.text, completion.finish_reason, ledger.finish_reason) == ("half a", "length", "length")


async def test_tokens_are_counted_over_all_calls(llm, ledger):
    await llm.chat("one")
    await llm.query()
    assert ledger.usage == Usage(len("<user>one<assistant>") + len("<user>"), 0, 2 * len("words"))


async def test_a_prompt_that_leaves_no_room_for_an_answer_is_a_rejection(ledger):
    llm = handle(FakeEngine(max_model_len=20), ledger)
    with pytest.raises(Rejection) as caught:
        await llm.chat("one")
    assert (caught.value.reason, caught.value.detail) == ("prompt_too_long", "20 tokens, the model takes at most 20")
    assert ledger.usage == Usage()


async def test_a_note_is_text_whatever_it_was(llm, ledger):
    llm.note(5, operation=6)
    assert ledger.lineage == [{"step": "judge", "text": "5", "operation": "6", "model": None}]


class FailingEngine(FakeEngine):
    """Fails at its first `failures` requests."""

    def __init__(self, failures, error=None):
        super().__init__()
        self.failures, self.error = failures, error or RuntimeError("the kernel gave up")

    async def generate(self, prompt, sampling):
        answer = await super().generate(prompt, sampling)
        if len(self.prompts) <= self.failures:
            raise self.error
        return answer


async def test_a_request_that_its_engine_fails_at_is_asked_again_in_the_same_words():
    engine = FailingEngine(2)
    assert (await handle(engine).chat("why?")).text == "words"
    assert len(engine.prompts) == 3
    assert len(set(engine.prompts)) == 1 and len({sampling.seed for sampling in engine.samplings}) == 1


async def test_the_third_failure_of_a_request_ends_its_record_as_poison():
    with pytest.raises(Rejection) as caught:
        await handle(FailingEngine(3)).chat("why?")
    assert (caught.value.reason, caught.value.detail) == ("poison", "RuntimeError: the kernel gave up")


async def test_a_refused_request_is_not_asked_again():
    engine = FailingEngine(3, ValueError("too long"))
    with pytest.raises(ValueError):
        await handle(engine).chat("why?")
    assert len(engine.prompts) == 1
