"""A run of several models: how they are named, which of them a step asks, and what is refused before any is loaded."""

import asyncio

import pytest
from hydra import compose, initialize_config_dir

from synth.configuration.chat_templates import refuse_bad_chat_template
from synth.configuration.config_groups import CONF_DIR, options
from synth.configuration.hydra_errors import CommandLine
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.models.model import DEMO
from synth.preview.dry_run import describe
from synth.run import main
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from synth.steps.strategy import Step, Strategy
from tests.steps.fakes import FakeEngine, FakeTemplate

JUDGED = "+strategy=evol_instruct_judged"


def config(*words):
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        return parse(compose("config", CommandLine([JUDGED, "engine=simulated", *words]).words))


def test_a_preset_is_named_and_its_engine_is_of_mains_kind_with_the_values_of_its_file():
    judge = config("engine.median_tokens=7", "models.judge=qwen3-8b").models["judge"]
    assert judge.model.path == "Qwen/Qwen3-8B" and judge.model.template_kwargs == {"enable_thinking": False}
    assert type(judge.engine).__name__ == "Simulated" and judge.engine.median_tokens == 120


def test_keys_of_a_model_and_of_its_engine_are_set_beside_its_preset():
    words = ["models.judge.engine=openai", "models.judge.engine.base_url=http://127.0.0.1:9/v1"]
    words += ["models.judge.max_model_len=512", "models.judge.replicas=3", "models.judge=demo"]
    judge = config(*words).models["judge"]
    assert type(judge.engine).__name__ == "OpenAI" and judge.engine.model is judge.model
    assert (judge.model.max_model_len, judge.model.license, judge.replicas) == (512, "apache-2.0", 3)


def test_models_are_given_as_one_mapping_too():
    assert config("models={judge:{preset:demo,engine:{median_tokens:3}}}").models["judge"].engine.median_tokens == 3
    assert config("models={judge:qwen3-8b}").models["judge"].model.path == "Qwen/Qwen3-8B"


def test_a_folder_or_a_name_on_the_hub_is_a_model_too():
    assert config("models.judge=org/model").models["judge"].model.path == "org/model"


def test_the_command_line_goes_before_the_strategy_which_asks_main_where_no_judge_is_named():
    assert config().models["judge"].engine_of == "main"
    assert config("models.judge=qwen3-8b").models["judge"].engine_of == "judge"
    (judging,) = [step for step in config().strategy.steps if "judge" in step.models]
    assert judging.name == "judge"


def test_the_same_model_is_loaded_once_though_it_is_spoken_to_in_another_way():
    same = config("models.judge=demo", "models.judge.default_system_prompt=drop")
    assert same.models["judge"].engine_of == "main" and not same.pools
    assert same.models["judge"].model.default_system_prompt == "drop"
    assert list(config("models.judge=demo", "models.judge.engine.median_tokens=9").pools) == ["judge"]


def test_a_preset_of_the_command_line_takes_the_place_of_what_the_strategy_says_of_the_model():
    named = ["++strategy.models.judge={path:org/mine,max_model_len:99,replicas:2,engine:{median_tokens:3}}"]
    judge = config(*named, "models.judge=qwen3-8b").models["judge"]
    assert (judge.model.path, judge.model.max_model_len, judge.replicas) == ("Qwen/Qwen3-8B", 16384, 2)
    assert judge.engine.median_tokens == 3
    other = config(*named, "models.judge.engine=openai", "models.judge.engine.base_url=http://127.0.0.1:9/v1")
    assert type(other.models["judge"].engine).__name__ == "OpenAI"


def test_a_key_of_a_mapping_leaves_the_presets_other_keys():
    judge = config("models.judge=qwen3-8b", "models.judge.template_kwargs.tone=dry").models["judge"]
    assert judge.model.template_kwargs == {"enable_thinking": False, "tone": "dry"}


def test_a_model_of_the_strategy_that_no_step_asks_is_not_loaded():
    left_out = config("++strategy.models.tagger=qwen3-8b", "strategy.steps=[evol_instruct,respond]")
    assert not left_out.models and not left_out.resolved["models"]
    assert "judge" not in config("models.judge=null", "strategy.judge.model=main").models


def test_an_engine_of_ones_own_is_the_judges_only_where_it_is_chosen(tmp_path):
    (tmp_path / "engine").mkdir()
    keys = "_target_: synth.engines.simulated.Simulated\nmedian_tokens: 999\n"
    (tmp_path / "engine" / "fast.yaml").write_text(keys)
    found = []
    for chosen in ("simulated", "fast"):
        words = [JUDGED, f"engine={chosen}", "models.judge=org/model", f"--config-dir={tmp_path}"]
        assert main(words, work=lambda config: found.append(config) or 0) == 0
    assert [one.models["judge"].engine.median_tokens for one in found] == [120, 999]


def test_what_is_spelled_out_once_means_the_same_when_it_is_read_again():
    first = config("models.judge=qwen3-8b", "models.judge.engine.median_tokens=9")
    again = parse(first.resolved)
    assert again.resolved == first.resolved and again.identity() == first.identity()


def test_a_models_data_is_part_of_the_runs_identity_and_its_speed_is_not():
    plain = config("models.judge=qwen3-8b").identity()
    assert config("models.judge=qwen3-8b", "models.judge.replicas=4").identity() == plain
    assert config("models.judge=qwen3-8b", "models.judge.engine.tokens_per_second=4").identity() == plain
    assert config("models.judge=qwen3-8b", "models.judge.engine.median_tokens=4").identity() != plain
    assert config("models.judge=gemma-3-4b-it").identity() != plain


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["models.judge=qwen3-8"], "models.judge: there is no 'qwen3-8'; did you mean 'qwen3-8b'?"),
        (["models.judge.replicas=2"], "models.judge.replicas: it shares the engines of the equal model main; set"),
        (["models.judge=qwen3-8b", "models.judge.replicas=0"], "models.judge.replicas: must be a whole number from 1"),
        (
            ["models.judge=qwen3-8b", "models.judge.engin=vllm"],
            "models.judge.engin: no such key; did you mean 'engine'?",
        ),
        (["models.judge=qwen3-8b", "models.judge.engine=vlm"], "models.judge.engine: there is no 'vlm'; did you mean"),
        (["models.judge=qwen3-8b", "models.judge.engine.x=1"], "models.judge.engine.x: no such key"),
        (["models.jugde=qwen3-8b"], "models.jugde: no step uses it"),
        (["models.judge.model.path=org/x"], "models.judge.model: no such key"),
        (["models.main=qwen3-8b"], "models.main: set the keys model, engine and cluster.replicas instead"),
        (["models.judge=qwen3-8b", "strategy.judge.model=jugde"], "strategy.judge.model: there is no model"),
        (["++strategy.respond.sampling.model=rival"], "strategy.respond.sampling.model: there is no model 'rival'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_key(words, expected):
    with pytest.raises(ConfigError) as caught:
        config(*words)
    assert str(caught.value).startswith(expected), caught.value


def test_the_plan_names_each_model_its_engines_and_who_asks_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Why is the sky blue?"}\n')
    result = describe(config("models.judge=demo", "models.judge.engine.median_tokens=5", "models.judge.replicas=2",
                           "source=file", "source.path=seeds.jsonl", "num_records=1"))  # fmt: skip
    (line,) = [line for line in result.splitlines() if line.startswith("models")]
    assert line.split(maxsplit=1)[1] == "judge: synth-demo, Simulated; 2 engine(s); called by judge"


FAKE = "{path:demo,engine:{_target_:tests.pooling_engines.FakePooling,task:%s}}"
REWARD = "++strategy.reward={_target_:synth.quality.reward.Reward,model:%s}"
REPEATED = "++strategy.repeated={_target_:synth.quality.semantic_duplicate.SemanticDuplicate,model:%s}"


def pooled(*words, steps="evol_instruct,respond,reward,repeated", reward="reward", repeated="embedder"):
    steps = [f"strategy.steps=[{steps}]", REWARD % reward, REPEATED % repeated]
    models = [f"+models.{name}={FAKE % task}" for name, task in (("reward", "score"), ("embedder", "embed"))]
    return config(*steps, *models, *words)


def test_a_model_that_scores_or_embeds_is_one_of_the_run_with_engines_of_its_own():
    made = pooled()
    assert list(made.pools) == ["reward", "embedder"] and all(pool.is_pooling for pool in made.pools.values())
    assert list(made.generating) == ["main"]
    assert [sorted(step.models) for step in made.strategy.steps] == [["main"], ["main"], ["reward"], ["embedder"]]
    assert parse(made.resolved).identity() == made.identity()


def test_the_same_pooling_model_by_two_names_is_loaded_once():
    again = pooled(f"+models.second={FAKE % 'score'}", "+strategy.second={_target_:synth.quality.reward.Reward,"
                   "model:second}", steps="evol_instruct,respond,reward,second,repeated")  # fmt: skip
    assert again.models["second"].engine_of == "reward" and list(again.pools) == ["reward", "embedder"]


def test_one_engine_file_serves_a_pooling_model_of_a_strategy():
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        made = parse(compose("config", ["+strategy=magpie_filtered_pro", "engine=simulated"]))
    reward = made.models["reward"]
    assert type(reward.engine).__name__ == "VLLMPooling" and reward.model.path == "sfairXC/FsfairX-LLaMA3-RM-v0.1"
    assert made.models["tagger"].engine_of == "main" and list(made.pools) == ["reward"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"reward": "rewrad"}, "strategy.reward.model: there is no model 'rewrad' in this run; did you mean 'reward'?"),
        ({"repeated": "main"}, "strategy.repeated.model: 'main' generates text, and cannot embed; choose from"),
        ({"reward": "folder"}, "strategy.reward.model: there is no model 'folder' in this run; the folder is ./folder"),
    ],
)
def test_a_step_that_asks_no_pooling_model_for_numbers_is_refused(given, expected, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError) as caught:
        pooled(**given)
    assert str(caught.value).startswith(expected), caught.value


def test_a_step_that_asks_a_pooling_model_for_words_is_refused_with_those_that_have_some():
    with pytest.raises(ConfigError) as caught:
        pooled("+strategy.respond.model=reward")
    expected = "strategy.respond.model: 'reward' cannot generate text, it is a pooling model; choose from judge, main"
    assert str(caught.value).startswith(expected), caught.value


def test_where_no_model_pools_the_engine_that_does_is_named():
    with pytest.raises(ConfigError) as caught:
        config("strategy.steps=[evol_instruct,respond,reward]", REWARD % "main")
    expected = (
        "strategy.reward.model: 'main' generates text, and cannot score; set models.NAME.engine=vllm_pooling for one"
    )
    assert str(caught.value).startswith(expected), caught.value


def test_a_step_of_ones_own_may_ask_a_pooling_model_by_its_key_model(tmp_path, monkeypatch):
    (tmp_path / "my_scores.py").write_text(
        "async def add(record, llm):\n    return record | {'x': await llm.score('a')}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = pooled("+strategy.own={_target_:my_scores.add,model:reward}", steps="evol_instruct,own,repeated")
    assert own.strategy.steps[1].model == "reward"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["models.reward.engine.task=embed"],
            "strategy.reward: needs 'reward' to score, but that model can only embed",
        ),
        (["models.embedder.path=org/none"], "models.embedder.path: the tokenizer of 'org/none' can't be loaded"),
        (["models.reward.chat_template=bad.jinja"], "models.reward: model.chat_template: line 1 is not valid Jinja"),
    ],
)
def test_what_a_pooling_model_is_not_made_for_is_said_before_it_is_loaded(words, expected, tmp_path, monkeypatch):
    (tmp_path / "bad.jinja").write_text("{% for")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError) as caught:
        refuse_bad_chat_template(pooled(*words))
    assert str(caught.value).startswith(expected), caught.value


def test_an_embedding_model_needs_no_chat_template(tmp_path):
    from transformers import AutoTokenizer

    bare = AutoTokenizer.from_pretrained(DEMO)
    bare.chat_template = None
    bare.save_pretrained(tmp_path / "bare")
    (tmp_path / "bare" / "config.json").write_text('{"model_type": "llama"}')
    made = pooled(f"models.embedder.path={tmp_path / 'bare'}")
    refuse_bad_chat_template(made)
    assert list(made.load_pooling_inputs()) == ["reward", "embedder"] and list(made.load_chat_templates()) == ["main"]
    with pytest.raises(ConfigError, match=r"^models.reward: the tokenizer has no chat template"):
        refuse_bad_chat_template(pooled(f"models.reward.path={tmp_path / 'bare'}"))


async def test_the_row_names_the_model_that_answered_and_a_round_the_one_that_wrote_it():
    async def step(record, llm):
        question = await llm.query()
        llm.note(question.text)
        answer = await llm.on("teacher").chat(question.text)
        assert llm.on("teacher").rng is llm.rng
        return record | {"instruction": question.text, "response": answer.text}

    endpoints = {"main": Endpoint(FakeEngine(lambda _: "Why?"), FakeTemplate(), "small"),
                 "teacher": Endpoint(FakeEngine(lambda _: "So."), FakeTemplate(), "large")}  # fmt: skip
    finished = await run_record(0, {}, Context(Strategy("test", [Step("step", step)]), endpoints, 0))
    (row,) = finished.kept
    assert row["model"] == "large" and [round["model"] for round in row["lineage"]] == ["small"]


class Slow(FakeEngine):
    """Answers after the others."""

    async def generate(self, prompt, sampling):
        await asyncio.sleep(0.02)
        return await super().generate(prompt, sampling)


async def model_named(step):
    """By the row, where `main` answers later than `teacher`, which was asked after it."""
    endpoints = {"main": Endpoint(Slow(), FakeTemplate(), "small"),
                 "teacher": Endpoint(FakeEngine(), FakeTemplate(), "large")}  # fmt: skip
    finished = await run_record(0, {}, Context(Strategy("test", [Step("step", step)]), endpoints, 0))
    return finished.kept[0]["model"]


async def test_words_that_are_no_answers_are_those_of_the_model_that_was_asked_last_in_the_order_of_calls():
    async def step(record, llm):
        slow, quick = await asyncio.gather(llm.chat("one"), llm.on("teacher").chat("two"))
        return record | {"instruction": f"[{slow.text}]", "response": f"[{quick.text}]"}

    assert await model_named(step) == "large"


@pytest.mark.parametrize(("place", "model"), [(0, "small"), (1, "large")])
async def test_of_models_that_say_the_same_the_one_said_it_whose_text_the_row_has(place, model):
    async def step(record, llm):
        answers = await asyncio.gather(llm.chat("one"), llm.on("teacher").chat("two"))
        return record | {"instruction": "Why?", "response": answers[place].text}

    assert await model_named(step) == model


async def test_of_words_that_a_step_took_out_of_what_several_models_said_alike_the_first_asked_said_them():
    async def step(record, llm):
        _, quick = await asyncio.gather(llm.chat("one"), llm.on("teacher").chat("two"))
        return record | {"instruction": "Why?", "response": "".join(quick.text)}

    assert await model_named(step) == "small"


async def test_a_model_that_is_not_there_is_named_with_the_nearest_one():
    async def step(record, llm):
        await llm.on("teachr").chat("Why?")

    endpoints = {name: Endpoint(FakeEngine(), FakeTemplate(), name) for name in ("main", "teacher")}
    finished = await run_record(0, {}, Context(Strategy("test", [Step("step", step)]), endpoints, 0))
    assert "there is no model 'teachr' in this run; did you mean 'teacher'?" in finished.rejected[0]["detail"]


async def test_calls_to_several_models_have_seeds_of_their_own_in_one_order():
    engines = [FakeEngine(), FakeEngine()]
    endpoints = {
        name: Endpoint(one, FakeTemplate(), name) for name, one in zip(("main", "other"), engines, strict=True)
    }
    llm = LLM(endpoints, Ledger(), 0, "7", "step")
    await llm.chat("one")
    await llm.on("other").chat("two")
    await llm.chat("three", model="other")
    lone = FakeEngine()
    alone = LLM({"main": Endpoint(lone, FakeTemplate(), "main")}, Ledger(), 0, "7", "step")
    for word in ("one", "two", "three"):
        await alone.chat(word)
    seeds = [sampling.seed for engine in engines for sampling in engine.samplings]
    assert seeds == [sampling.seed for sampling in lone.samplings] and len(set(seeds)) == 3
    assert {sampling.model for engine in engines for sampling in engine.samplings} == {None}


@pytest.mark.parametrize("preset", [option for option in options("model") if option != "demo"])
def test_a_preset_says_where_its_chat_template_was_read_or_that_it_was_not(preset):
    text = (CONF_DIR / "model" / f"{preset}.yaml").read_text()
    result = "chat_templates/" in text or "models/templates/" in text or "own chat_template.jinja" in text
    assert result != ("# Not verified: the chat template of this model was not read." in text)
