"""The engine against a real `vllm serve` of the demonstration model, on the loopback address."""

import asyncio

import pyarrow as pa
import pytest

from synth.chat import ServedChat
from synth.engines import EngineError, Sampling
from synth.engines.openai import OpenAI
from synth.engines.openai_chat import OpenAIChat
from synth.models.model import Model
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.judge import Judge
from synth.steps.magpie import Magpie
from synth.steps.strategy import Step, Strategy

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

MODEL = Model(path="demo", name="synth-demo", dtype="float32")
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


@pytest.fixture
def engine(openai_engine):
    return openai_engine


@pytest.fixture(scope="module")
def template():
    return MODEL.load_chat_template()


async def test_the_server_tells_its_context_length(engine):
    assert engine.max_model_len == 2048


async def test_magpie_makes_whole_conversations_from_token_ids(engine, template):
    magpie = Magpie(instruction=Sampling(max_tokens=200), response=Sampling(temperature=0.0, max_tokens=200))
    context = Context(Strategy("magpie", [Step("magpie", magpie, {})]), {"main": Endpoint(engine, template, "demo")}, 0)
    finished = await asyncio.gather(*(run_record(number, {}, context) for number in range(20)))
    rows = [row for one in finished for row in one.kept]
    assert len(rows) >= 15
    for row in rows:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert all(turn["content"] and "<|" not in turn["content"] for turn in row["messages"])
        assert row["usage"]["prompt_tokens"] > 8 and row["usage"]["completion_tokens"] > 4


async def test_a_seeded_request_says_the_same_again_and_another_seed_something_else(engine, template):
    async def ask(seed):
        sampling = Sampling(seed=seed, max_tokens=60, stop_token_ids=template.query_stop.token_ids)
        return (await engine.generate(template.pre_query(), sampling)).token_ids

    first, again, other = await asyncio.gather(ask(1), ask(1), ask(2))
    assert first == again != other


async def test_an_answer_that_ends_has_no_stop_token_in_it_and_one_that_is_cut_says_so(engine, template):
    sampling = Sampling(seed=1, max_tokens=200, stop_token_ids=template.query_stop.token_ids)
    ended = await engine.generate(template.pre_query(), sampling)
    assert ended.finish_reason == "stop"
    assert not set(ended.token_ids) & set(template.query_stop.token_ids)
    assert ended.prompt_tokens == len(template.pre_query())
    cut = await engine.generate(template.pre_query(), Sampling(seed=1, max_tokens=3))
    assert (cut.token_ids, cut.finish_reason) == (ended.token_ids[:3], "length")


async def test_a_stop_string_is_no_part_of_the_text(engine, template):
    ended = await engine.generate(template.pre_query(), Sampling(seed=1, stop=(" ",)))
    assert ended.finish_reason == "stop" and ended.text and " " not in ended.text


async def test_a_schema_is_followed(engine, template):
    prompt = template.encode([{"role": "user", "content": "How good is this?"}])
    answer = await engine.generate(prompt, Sampling(seed=1, json_schema=SCHEMA, max_tokens=100))
    assert template.decode(answer.token_ids).replace(" ", "").startswith('{"score":')


async def test_an_answer_is_one_of_the_choices_and_matches_an_expression(engine, template):
    assert engine.holds == {"json", "choice", "regex"}
    prompt = template.encode([{"role": "user", "content": "How good is this?"}])
    chosen = await engine.generate(prompt, Sampling(seed=1, choice=("quite good", "quite bad"), max_tokens=100))
    assert template.decode(chosen.token_ids) in ("quite good", "quite bad")
    matching = await engine.generate(prompt, Sampling(seed=1, regex="[0-9]{3}", max_tokens=100))
    assert template.decode(matching.token_ids).isdigit()


async def test_a_greedy_answer_is_the_one_that_transformers_gives(engine, template):
    from synth.engines.transformers import Transformers

    prompt = template.encode([{"role": "user", "content": "What is the capital of Morocco?"}])
    sampling = Sampling(temperature=0.0, max_tokens=40, stop_token_ids=template.response_stop.token_ids)
    other = Transformers(model=MODEL, device="cpu")
    await other.start()
    try:
        assert (await engine.generate(prompt, sampling)).token_ids == (await other.generate(prompt, sampling)).token_ids
    finally:
        await other.stop()


async def test_tokens_of_a_prompt_seen_before_are_told_as_cached(engine):
    prompt = [300 + number % 100 for number in range(400)]
    await engine.generate(prompt, Sampling(max_tokens=1))
    assert 0 < (await engine.generate(prompt, Sampling(max_tokens=1))).cached_tokens < 400


async def test_what_vllm_refuses_is_a_value_error_with_its_words(engine):
    with pytest.raises(ValueError, match=r"the server refuses the request: .*out of vocabulary"):
        await engine.generate([10**7], Sampling())


async def test_the_wrong_key_is_an_engine_error(openai_server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    with pytest.raises(EngineError, match=r"answers 401: .*check the key in the environment") as raised:
        await OpenAI(model=MODEL, base_url=openai_server.base_url).start()
    assert "sk-wrong" not in str(raised.value)


async def test_the_chat_api_of_the_same_server_judges_what_token_ids_have_made(openai_server, engine, template):
    judge = OpenAIChat(model=Model(path="synth-demo"), base_url=openai_server.base_url, max_num_seqs=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", openai_server.key)
        await judge.start()
    try:
        assert judge.holds == {"json", "choice", "regex"}
        steps = [
            Step("magpie", Magpie(instruction=Sampling(max_tokens=60), response=Sampling(max_tokens=60)), {}),
            Step("judge", Judge(model="judge", on_failure="keep"), {"judge_score": pa.int64()}),
        ]
        endpoints = {"main": Endpoint(engine, template, "demo"), "judge": Endpoint(judge, ServedChat(), "served")}
        context = Context(Strategy("judged", steps), endpoints, 0)
        finished = await asyncio.gather(*(run_record(number, {}, context) for number in range(12)))
        rows = [row for one in finished for row in one.kept]
        scores = [row["judge_score"] for row in rows if row["judge_score"] is not None]
        assert len(scores) >= 6 and set(scores) <= {1, 2, 3, 4, 5}
        asked = [Sampling(seed=1, max_tokens=20), Sampling(seed=1, max_tokens=20), Sampling(seed=2, max_tokens=20)]
        question = [{"role": "user", "content": "What is the capital of Morocco?"}]
        first, again, other = [await judge.generate(question, sampling) for sampling in asked]
        assert first.text == again.text != other.text and first.prompt_tokens == len(template.encode(question))
        assert first.completion_tokens <= 20
    finally:
        await judge.stop()
