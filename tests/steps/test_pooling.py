"""Scores and embeddings by models of the run, as a step asks for them."""

import numpy as np
import pytest

from synth.engines import EngineError, Pooled
from synth.quality.reward import Reward, SequenceClassifier
from synth.quality.semantic_duplicate import SemanticDuplicate
from synth.records import Rejection, Spent
from synth.steps.endpoints import Endpoint, PoolingEndpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from synth.steps.preference import Preference
from synth.steps.strategy import Step
from tests.steps.fakes import FakeEngine, FakeTemplate


class FakeInput:
    """Code points for token ids."""

    def text(self, text, limit):
        return [ord(letter) for letter in text][:limit]

    def conversation(self, messages, limit):
        return [ord(letter) for turn in messages for letter in turn["content"]][-limit:]


class FakePooler:
    """A score is how many tokens there are, an embedding their smallest and their largest. Fails `failures` times."""

    max_model_len = 8

    def __init__(self, task, failures=0, error=RuntimeError):
        self.task, self.failures, self.error, self.prompts = task, failures, error, []

    async def pool(self, prompt):
        self.prompts.append("".join(map(chr, prompt)))
        if self.failures:
            self.failures -= 1
            raise self.error("no")
        values = [len(prompt)] if self.task == "score" else [min(prompt), max(prompt)]
        return Pooled(np.asarray(values, np.float32), len(prompt), 1, 0.5)


def handle(engine=None, dedup=None, **poolers):
    ledger = Ledger()
    endpoints = {"main": Endpoint(engine or FakeEngine(), FakeTemplate(), "small")}
    endpoints |= {name: PoolingEndpoint(one, FakeInput(), name) for name, one in poolers.items()}
    return LLM(endpoints, ledger, 7, "17", "step", dedup=dedup), ledger


TALK = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So it is."}]


async def test_a_conversation_has_a_score_and_a_text_an_embedding():
    llm, _ = handle(reward=FakePooler("score"), embedder=FakePooler("embed"))
    score, vector = await llm.on("reward").score(TALK[:1]), await llm.on("embedder").embed("abc")
    assert score == 4.0 and type(score) is float
    assert vector.dtype == np.float32 and vector.tolist() == [97, 99]


async def test_what_is_too_long_keeps_the_end_of_a_conversation_and_the_beginning_of_a_text():
    reward, embedder = FakePooler("score"), FakePooler("embed")
    llm, _ = handle(reward=reward, embedder=embedder)
    await llm.on("reward").score(TALK)
    await llm.on("reward").score("a text for a classifier")
    await llm.on("embedder").embed("abcdefghijk")
    assert reward.prompts == ["o it is.", "a text f"] and embedder.prompts == ["abcdefgh"]


async def test_tokens_and_time_of_a_score_are_those_of_the_step():
    llm, ledger = handle(reward=FakePooler("score"))
    await llm.on("reward").score(TALK[:1])
    await llm.chat("Why?")
    assert ledger.spent["step"][:4] == Spent(2, 4 + len("<user>Why?<assistant>"), 1, 5)[:4]
    assert ledger.spent["step"].engine_seconds == 0.5


async def test_a_score_takes_no_seed_from_the_calls_after_it():
    engine, lone = FakeEngine(), FakeEngine()
    llm, _ = handle(engine, reward=FakePooler("score"))
    await llm.on("reward").score(TALK)
    await llm.chat("Why?")
    alone, _ = handle(lone)
    await alone.chat("Why?")
    assert engine.samplings == lone.samplings


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda llm: llm.on("reward").chat("Why?"), "the model 'reward' cannot generate text, its task is to score"),
        (lambda llm: llm.on("reward").embed("a"), "the model 'reward' can score, but not embed"),
        (lambda llm: llm.on("embedder").score(TALK), "the model 'embedder' can embed, but not score"),
        (lambda llm: llm.score(TALK), "the model 'main' can generate, but not score"),
        (lambda llm: llm.on("rewrad").score(TALK), "there is no model 'rewrad' in this run; did you mean 'reward'?"),
    ],
)
async def test_a_model_that_does_something_else_is_named_with_what_it_does(ask, expected):
    llm, _ = handle(reward=FakePooler("score"), embedder=FakePooler("embed"))
    with pytest.raises(ValueError) as caught:
        await ask(llm)
    assert str(caught.value) == expected


async def test_a_request_that_failed_is_made_again_and_one_that_always_fails_is_poison():
    llm, _ = handle(reward=FakePooler("score", failures=2))
    assert await llm.on("reward").score("abc") == 3.0
    llm, _ = handle(reward=FakePooler("score", failures=3))
    with pytest.raises(Rejection, match="poison"):
        await llm.on("reward").score("abc")
    llm, _ = handle(reward=FakePooler("score", failures=1, error=EngineError))
    with pytest.raises(EngineError):
        await llm.on("reward").score("abc")
    assert llm.failure is not None


async def test_a_word_is_a_model_of_the_run_and_what_has_a_slash_a_path():
    llm, _ = handle(reward=FakePooler("score"))
    record = {"instruction": "Why?", "response": "So."}
    assert (await Reward(model="reward")(dict(record), llm))["reward"] == 7.0
    assert Reward(model="./reward").model == SequenceClassifier(path="./reward")


class DedupKeys:
    async def claim(self, key):
        self.key = np.frombuffer(key, "<f4")


async def test_a_duplicate_is_looked_for_by_the_embeddings_of_a_model_of_the_run():
    llm, _ = handle(dedup=DedupKeys(), embedder=FakePooler("embed"))
    await SemanticDuplicate(model="embedder")({"instruction": "ab"}, llm)
    assert np.allclose(llm.dedup.key, np.array([97, 98]) / np.hypot(97, 98))


async def test_responses_are_ranked_by_a_model_of_the_run():
    answers = iter(["short", "longest of all"])
    engine, reward = FakeEngine(), FakePooler("score")
    engine.reply, reward.max_model_len = lambda _: next(answers), 100
    llm, _ = handle(engine, reward=reward)
    row = await Preference(k=2, reward_model="reward")({"instruction": "Why?"}, llm)
    assert (row["chosen"][0]["content"], row["chosen_score"]) == ("longest of all", 18.0)


def test_a_step_tells_which_models_it_asks_for_what():
    asked = {"step": Reward(model="reward")}, {"step": SemanticDuplicate(model="embedder")}
    assert [dict(Step("step", one["step"]).pooling) for one in asked] == [{"reward": "score"}, {"embedder": "embed"}]
    both = Step("step", Preference(reward_model="reward"))
    assert (both.models, both.generating) == ({"main", "reward"}, {"main"})
    assert not Step("step", Reward(model="./reward")).models
