"""The demonstration model on Transformers: Magpie end to end, and batches that come and go."""

import asyncio
import os

import pytest
import pytest_asyncio

from synth.engines import EngineError, Sampling
from synth.models.model import Model
from synth.steps.chain import Context, run_record
from synth.steps.magpie import Magpie
from synth.steps.strategy import Step, Strategy

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

from transformers import AutoModelForCausalLM, GenerationMixin  # noqa: E402

from synth.engines.transformers import Transformers  # noqa: E402
from synth.steps.endpoints import Endpoint  # noqa: E402

MODEL = Model(path="demo", dtype="float32")
SHORT = Sampling(max_tokens=80)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = Transformers(model=MODEL, max_num_seqs=8, device="cpu")
    await engine.start()
    yield engine
    await engine.stop()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def template():
    return MODEL.load_chat_template()


@pytest.fixture
def ask(engine, template):
    """What a user would say, as a seed has it."""
    stop = template.query_stop

    async def ask(seed, prompt=None, **keys):
        keys = {"max_tokens": 30, "stop_token_ids": stop.token_ids} | keys
        return await engine.generate(prompt or template.pre_query(), Sampling(seed=seed, **keys))

    return ask


async def test_magpie_makes_whole_conversations(engine, template):
    magpie = Magpie(instruction=SHORT, response=Sampling(temperature=0.0, max_tokens=80))
    context = Context(Strategy("magpie", [Step("magpie", magpie, {})]), {"main": Endpoint(engine, template, "demo")}, 0)
    finished = await asyncio.gather(*(run_record(number, {}, context) for number in range(3)))
    rows = [row for one in finished for row in one.kept]
    assert len(rows) + sum(len(one.rejected) for one in finished) == 3
    assert rows
    for row in rows:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert row["usage"]["prompt_tokens"] > row["usage"]["completion_tokens"] / 10 > 0
        assert "<|" not in row["instruction"] + row["response"]


async def test_a_seed_gives_the_same_words_alone_and_among_others_that_come_and_go(ask, template):
    alone = [await ask(seed) for seed in (1, 2)]
    long = template.pre_query([{"role": "user", "content": "words " * 40}, {"role": "assistant", "content": "Yes."}])
    beside = [ask(seed, long if seed % 2 else None, max_tokens=5 * seed) for seed in range(3, 12)]
    together = await asyncio.gather(ask(1), *beside, ask(2))
    assert [together[0].token_ids, together[-1].token_ids] == [one.token_ids for one in alone]
    assert alone[0].token_ids != alone[1].token_ids


async def test_an_answer_is_cut_at_max_tokens(ask):
    cut = await ask(1, max_tokens=3, stop_token_ids=())
    assert (len(cut.token_ids), cut.finish_reason) == (3, "length")


async def test_a_stop_string_is_no_part_of_the_text(ask):
    ended = await ask(1, stop=(" ",), max_tokens=80)
    assert ended.finish_reason == "stop"
    assert ended.text and " " not in ended.text


async def test_the_event_loop_lives_while_the_model_works(ask, engine):
    asking = asyncio.create_task(ask(6, max_tokens=40, temperature=2.0, stop_token_ids=()))
    beats = 0
    while not asking.done():
        await asyncio.sleep(0.001)
        beats += 1
    assert beats > 20


async def test_a_request_that_nobody_waits_for_any_more_leaves_the_batch(ask, engine):
    asking = asyncio.create_task(ask(6, max_tokens=1500, temperature=2.0, stop_token_ids=()))  # 131 tokens
    while not engine.stats().running:
        await asyncio.sleep(0)
    asking.cancel()
    assert (await ask(2, max_tokens=2)).finish_reason
    assert engine.stats().running == 0


async def test_a_prompt_that_is_too_long_is_refused(ask, engine):
    with pytest.raises(ValueError, match="the model takes"):
        await ask(1, prompt=[5] * engine.max_model_len)


async def test_a_failing_model_is_an_engine_error_for_all_who_wait(ask, engine, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(GenerationMixin, "generate", fail)
    outcomes = await asyncio.gather(*(ask(seed) for seed in range(10)), return_exceptions=True)
    assert {(type(outcome), str(outcome)) for outcome in outcomes} == {
        (EngineError, "Transformers failed: out of memory")
    }


async def test_a_folder_without_a_model_is_an_engine_error_in_one_line(tmp_path):
    engine = Transformers(model=Model(path=str(tmp_path)))
    with pytest.raises(EngineError, match=f"^Transformers can't load {tmp_path}: [^\n]+$"):
        await engine.start()


async def test_a_replica_takes_a_gpu_or_its_share_of_the_cores():
    engine = Transformers(model=MODEL)
    assert engine.placement(on_gpu=True, replicas_beside=0).gpus == 1
    assert Transformers(model=MODEL, device="cpu").placement(on_gpu=True, replicas_beside=0).gpus == 0
    beside = engine.placement(on_gpu=False, replicas_beside=1)
    assert beside.env["OMP_NUM_THREADS"] == str(max(1, len(os.sched_getaffinity(0)) // 2))


async def test_an_answers_probability_is_that_of_the_model_before_temperature(engine, ask, template):
    said = await ask(1, temperature=2.0, logprob=True, max_tokens=5, stop_token_ids=())
    prompt = template.pre_query()
    model = AutoModelForCausalLM.from_pretrained(MODEL.path, dtype=torch.float32)
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *said.token_ids]])).logits[0, len(prompt) - 1 : -1]
    result = logits.log_softmax(-1).gather(1, torch.tensor(said.token_ids)[:, None]).mean()
    assert said.logprob == pytest.approx(float(result), abs=1e-3)
    assert (await ask(1)).logprob is None


async def test_an_answer_is_one_of_the_choices(engine, template, ask):
    answers = await asyncio.gather(*(ask(seed, choice=("Equal", "Not equal")) for seed in range(8)))
    said = [template.decode(answer.token_ids) for answer in answers]
    assert set(said) == {"Equal", "Not equal"}
    assert all(answer.finish_reason == "stop" for answer in answers)
