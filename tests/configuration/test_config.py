"""The configuration as typed objects, from plain data and from what conf/ composes."""

import functools
import sys
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from synth.configuration.config_groups import CONF_DIR, options
from synth.configuration.parsing import parse
from synth.configuration.settings import Cluster, Settings
from synth.engines.vllm import VLLM
from synth.errors import ConfigError
from synth.models.model import DEMO, Model
from synth.steps.magpie import Magpie
from tests.error_lines import check_line

STEPS = """
async def translate(record, llm, language: str = "French", times: int = 1, **options):
    return record

async def needs(record, llm, language):
    return record

async def alone(record):
    return record

def scored(record, llm):
    return record
scored.columns = {"score": "double"}

class Judge:
    columns = {"score": "double", "tags": "list<string>"}
    def __init__(self, threshold: float, words: list[str] = ()):
        if threshold > 10:
            raise ValueError("threshold is out of this world")
        self.threshold = threshold
    async def __call__(self, record, llm):
        return record

class DedupHandle:
    duplicates = "all"
    async def __call__(self, record, llm):
        return record

class Mute:
    pass
"""


@functools.cache
def composed(*overrides, strategy="magpie", model="qwen3-8b"):
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        return compose("config", [f"+strategy={strategy}", f"model={model}", *overrides])


def plain(*overrides, **chosen):
    """The resolved data of a good configuration, to be spoilt."""
    return parse(composed(*overrides, **chosen)).resolved


def changed(data, key, value):
    """A copy of the data with another value at a dotted key."""
    head, _, rest = key.partition(".")
    return data | {head: changed(data[head], rest, value) if rest else value}


def strategy(*steps, **keys):
    return parse(plain() | {"strategy": {"steps": list(steps), **keys}}).strategy


def refusal(data):
    with pytest.raises(ConfigError) as caught:
        parse(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A module of the user's, outside of the package."""
    (tmp_path / "users_steps.py").write_text(STEPS)
    (tmp_path / "users_typo.py").write_text("def broken(:")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("users_steps", None)


@pytest.mark.parametrize("name", options("strategy"))
def test_every_shipped_strategy_is_a_good_configuration(name):
    config = parse(composed(strategy=name))
    assert config.strategy.name == name
    if name.startswith("magpie"):
        assert isinstance(config.strategy.steps[0].function, Magpie)
        assert (
            config.strategy.columns.keys() == config.strategy.of_source.keys() or "filtered" in name
        )  # by tags, rewards


@pytest.mark.parametrize("name", options("model"))
def test_every_shipped_model_is_a_good_configuration(name):
    model = parse(composed(model=name)).model
    assert model.license and model.path


@pytest.mark.parametrize("name", sorted({*options("engine")} - {"vllm_pooling"}))
def test_every_shipped_engine_is_a_good_configuration(name):
    engine = parse(composed(f"engine={name}", strategy="self_instruct")).engine
    assert type(engine).__name__.lower() == name.replace("_", "")


def test_an_engine_that_generates_nothing_is_not_mains():
    with pytest.raises(ConfigError, match=r"^engine._target_: .*VLLMPooling' cannot generate text, which main has to"):
        parse(composed("engine=vllm_pooling"))


def test_domain_presets_steer_by_system_prompts_and_do_not_keep_them():
    for name in ("magpie_math", "magpie_code", "magpie_translation", "magpie_reasoning"):
        magpie = parse(composed(strategy=name)).strategy.steps[0].function
        assert len(magpie.system_prompts) > 1
        assert not magpie.keep_system_prompt


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ("model", Model),
        ("cluster", Cluster),
        ("engine", VLLM),
        ("strategy.magpie", Magpie),
        ("", Settings),
    ],
)
def test_each_key_of_a_component_is_in_the_yaml_so_that_it_can_be_overridden(node, kind):
    data = OmegaConf.select(composed(), node) if node else composed()
    assert {field.name for field in fields(kind)} - {"model"} <= set(data)


def test_the_demo_is_the_shipped_folder_in_float32_under_a_name_of_its_own():
    demo = parse(composed(model="demo")).model
    assert (demo.path, demo.name, demo.dtype, demo.license) == (str(DEMO), "synth-demo", "float32", "apache-2.0")
    assert demo.is_demo


def test_another_path_takes_over_nothing_of_the_demo():
    other = parse(composed("model.path=some/model", model="demo")).model
    assert (other.name, other.dtype, other.license) == ("some/model", "auto", None)


def test_a_configuration_can_be_parsed_again_from_its_resolved_data():
    config = parse(composed("num_records=7"))
    again = parse(config.resolved)
    assert again.settings == config.settings
    assert again.identity() == config.identity()


def test_the_identity_changes_with_what_decides_the_data_only():
    def identity(key, value):
        return parse(changed(plain(), key, value)).identity()

    usual = parse(plain()).identity()
    for harmless in ("num_records", "output_dir", "shard_size", "engine.max_num_seqs", "cluster.replicas"):
        assert identity(harmless, "8") == usual
    for key, value in {"seed": 1, "model.dtype": "float32", "engine.enforce_eager": True}.items():
        assert identity(key, value) != usual
    assert parse(composed("strategy.magpie.n_turns=2")).identity() != usual


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("num_records", "", "must be a whole number or 'all', got ''"),
        ("num_records", -1, "must be at least 1 or 'all', got -1"),
        ("num_records", True, "must be a whole number or 'all', got True"),
        ("num_records", 1.5, "must be a whole number or 'all', got 1.5"),
        ("seed", None, "must be a whole number, got None"),
        ("price_per_gpu_hour", True, "must be a number above 0, got True"),
        ("min_yield", True, "must be a number from 0 to 1, got True"),
        ("price_per_gpu_hour", 0, "must be greater than 0, got 0"),
        ("price_per_gpu_hour", float("inf"), "must be a finite number, got inf"),
        ("tracking", "wandbb", "must be 'wandb' or 'mlflow', got 'wandbb'"),
        ("dry_run", "perhaps", "must be a valid boolean, got 'perhaps'"),
        ("min_yield", 2, "must be at most 1, got 2"),
        ("cluster.replicas", "aut", "must be a whole number or 'auto', got 'aut'"),
        ("cluster", 5, "must be a mapping of keys, got 5"),
        ("model.template_kwargs", 5, "must be a mapping of keys, got 5"),
        ("engine._target_", "nope.Engine", "'nope.Engine' can't be imported (No module named 'nope')"),
        ("engine", {}, "needs a _target_, the dotted name of a class or function"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused(key, value, expected):
    assert refusal(changed(plain(), key, value)) == f"{key}: {expected}"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"n_turns": 0}, "n_turns: must be at least 1, got 0"),
        ({"instruction": 5}, "instruction: must be a mapping of keys, got 5"),
        ({"system_prompts": [3]}, "system_prompts[0]: must be a mapping of keys, got 3"),
        ({"system_prompts": [{"weight": 2}]}, "system_prompts[0].text: is missing"),
        (
            {"system_prompts": ["a", {"text": "x", "weight": "much"}]},
            "system_prompts[1].weight: must be a valid number, got 'much'",
        ),
    ],
)
def test_a_wrong_value_inside_a_step_is_refused_by_its_place(keys, expected):
    magpie = {"_target_": "synth.steps.magpie.Magpie", **keys}
    assert refusal(plain() | {"strategy": {"magpie": magpie, "steps": ["magpie"]}}) == f"strategy.magpie.{expected}"


def test_the_plain_data_is_what_yaml_can_hold():
    resolved = plain()
    assert yaml.safe_load(yaml.safe_dump(resolved)) == resolved


def test_a_group_that_is_missing_is_named():
    data = plain()
    assert refusal({key: data[key] for key in data if key != "engine"}).startswith(
        "engine: none is chosen; choose from"
    )
    assert refusal({key: data[key] for key in data if key != "strategy"}).startswith(
        "strategy: none is chosen; add one"
    )


def test_a_metrics_port_is_refused_where_the_cluster_has_its_own():
    error = refusal(plain() | {"cluster": {"address": "auto", "metrics_port": 9400}})
    check_line(error, "cluster.metrics_port", "cluster.address", "null")
    check_line(refusal(changed(plain(), "cluster.metrics_port", 0)), "cluster.metrics_port", "at least 1", "0")


def test_a_key_that_is_missing_is_named():
    data = plain()
    del data["seed"]
    assert refusal(data) == "seed: is missing"


@pytest.mark.parametrize("path", ["/nope", "./nope", "~/nope-at-all", "nope", "a/b/c"])
def test_a_model_folder_that_is_not_there_is_refused(path):
    data = plain()
    assert refusal(data | {"model": data["model"] | {"path": path}}).startswith("model.path: there is no folder '")


def test_a_folder_beside_which_others_are_is_no_hub_name():
    Path("models").mkdir()
    assert Model(path="models/mine").missing()
    assert not Model(path="organization/mine").missing()


def test_a_folder_without_a_model_is_refused(tmp_path):
    assert Model(path=str(tmp_path)).missing().startswith(f"path: the folder '{tmp_path}' has no config.json")
    (tmp_path / "config.json").touch()
    assert Model(path=str(tmp_path)).missing() is None


def test_a_chat_template_that_is_not_there_is_refused():
    data = plain()
    error = refusal(data | {"model": data["model"] | {"chat_template": "nope.jinja"}})
    check_line(error, "model.chat_template", "'nope.jinja'")


def test_a_wrong_key_is_told_before_a_missing():
    assert refusal(composed("strategy.magpie.n_turns=0", "model.path=/nope")).startswith("strategy.magpie.n_turns: ")


def test_what_the_hub_would_not_take_for_a_name_is_refused():
    assert refusal(composed("push_to_hub=mine")).startswith("push_to_hub: must be user/name")


def test_a_function_of_the_users_is_a_step_with_parameters_from_yaml(steps):
    (step,) = strategy({"_target_": "users_steps.translate", "language": "German", "times": "2", "mood": "dark"}).steps
    assert step.name == "translate"
    assert step.function.keywords == {"language": "German", "times": 2, "mood": "dark"}


def test_a_callable_class_of_the_users_is_a_step(steps):
    made = strategy({"_target_": "users_steps.Judge", "threshold": 3})
    assert made.steps[0].function.threshold == 3
    assert made.columns == {"score": pa.float64(), "tags": pa.list_(pa.string())}


def test_who_writes_partial_as_for_hydra_gets_the_same(steps):
    (step,) = strategy({"_target_": "users_steps.translate", "language": "German", "_partial_": True}).steps
    assert step.function.keywords == {"language": "German"}


def test_a_step_is_called_by_its_key_and_numbered_when_it_comes_again(steps):
    judge = {"_target_": "users_steps.Judge", "threshold": 1}
    plain_one = {"_target_": "users_steps.scored"}
    names = [step.name for step in strategy("quality", plain_one, "quality", plain_one, quality=judge).steps]
    assert names == ["quality", "scored", "quality#2", "scored#2"]


def test_a_step_that_says_nothing_of_its_columns_makes_room_for_extra_ones(steps):
    assert strategy({"_target_": "users_steps.translate"}).columns == {"extra": pa.string()}
    assert strategy({"_target_": "users_steps.scored"}).columns == {"score": pa.float64()}


def test_columns_can_be_declared_for_a_function(steps):
    made = strategy({"_target_": "users_steps.translate"}, columns={"language": "string"})
    assert made.columns == {"language": pa.string()}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"_target_": "translate", "times": "x"}, ".times: must be a whole number, got 'x'"),
        ({"_target_": "needs"}, ".language: is missing"),
        ({"_target_": "needs", "languge": 1}, ".languge: no such key; did you mean 'language'?"),
        ({"_target_": "Judge"}, ".threshold: is missing"),
        ({"_target_": "Judge", "threshold": "x"}, ".threshold: must be a valid number, got 'x'"),
        ({"_target_": "Judge", "threshold": 1, "words": [1]}, ".words[0]: must be a valid string, got 1"),
        ({"_target_": "Judge", "threshold": 11}, ": threshold is out of this world"),
    ],
)  # fmt: skip
def test_a_step_that_does_not_fit_is_refused(steps, step, expected):
    step = step | {"_target_": f"users_steps.{step['_target_']}"}
    assert refusal(plain() | {"strategy": {"steps": [step]}}) == f"strategy.steps[0]{expected}"


@pytest.mark.parametrize("word", ["strategy.steps=[magpie,tag]", "strategy.steps=[${strategy.magpie},${strategy.tag}]"])
def test_steps_are_listed_by_their_names_or_referred_to_and_keep_them(word):
    found = parse(composed("+strategy.tag._target_=synth.steps.tag.Tag", word, strategy="magpie"))
    assert [step.name for step in found.strategy.steps] == ["magpie", "tag"]
    assert found.resolved["strategy"]["steps"] == ["magpie", "tag"]
    assert parse(found.resolved).identity() == found.identity()


def test_two_steps_with_the_same_keys_keep_their_own_names():
    tag = {"_target_": "synth.steps.tag.Tag"}
    made = parse(plain() | {"strategy": {"first": tag, "second": tag, "steps": ["second", "first", "first", tag]}})
    assert [step.name for step in made.strategy.steps] == ["second", "first", "first#2", "Tag"]


def test_a_step_without_a_dotted_target_is_refused():
    error = refusal(plain() | {"strategy": {"steps": [{"language": "German"}]}})
    check_line(error, "strategy.steps[0]", "_target_")
    magpie = {"_target_": "synth.steps.magpie.Magpie"}
    error = refusal(plain() | {"strategy": {"magpie": magpie, "steps": ["magpi"]}})
    check_line(error, "strategy.steps[0]", "'magpi'", "did you mean 'magpie'?")
    error = refusal(plain() | {"strategy": {"steps": [{"_target_": "translate"}]}})
    check_line(error, "strategy.steps[0]._target_", "'translate'", "my_steps.translate")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("users_stps.translate", "can't be imported (No module named 'users_stps'); did you mean 'users_steps'?"),
        ("users_steps.translat", "'users_steps' has no class or function 'translat'; did you mean 'translate'?"),
        ("users_typo.broken", "can't be imported (SyntaxError: invalid syntax"),
        ("synth.steps.magpi.Magpie", "(No module named 'synth.steps.magpi'); did you mean 'synth.steps.magpie'?"),
        ("users_steps.alone", "is not a valid step: it can't be called with (record, llm)"),
        ("users_steps.Mute", "is not a valid step: it can't be called with (record, llm)"),
    ],
)
def test_a_target_that_is_no_step_is_refused(steps, target, expected):
    assert expected in refusal(plain() | {"strategy": {"steps": [{"_target_": target}]}})


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"steps": []}, "strategy.steps: needs a list with at least one step"),
        ({"magpie": {}}, "strategy.steps: needs a list with at least one step"),
        ("magpi", "strategy: 'magpi' is no strategy; did you mean 'magpie'?"),
        (
            {"steps": [{"_target_": "synth.steps.magpie.Magpie"}], "colums": {"a": "string"}},
            "strategy.colums: is neither a key of a strategy nor a step with a _target_; did you mean 'columns'?",
        ),
        (
            {"steps": [{"_target_": "synth.steps.magpie.Magpie"}], "columns": {"a": "strin"}},
            "strategy.columns.a: 'strin' is not a column type; try string, int64, double, bool or list<string>",
        ),
        (
            {"steps": [{"_target_": "synth.steps.magpie.Magpie"}], "columns": {"response": "string"}},
            "strategy.columns.response: is a column that every dataset has; choose another name",
        ),
    ],
)
def test_what_is_no_strategy_is_refused(strategy, expected):
    assert refusal(plain() | {"strategy": strategy}) == expected


def test_what_is_no_engine_is_refused(steps):
    assert "'users_steps.Mute' is not a valid engine: it has no generate(prompt, sampling)" in refusal(
        plain() | {"engine": {"_target_": "users_steps.Mute"}}
    )


def test_steps_against_duplicates_stand_anywhere_in_a_chain_and_are_known_by_their_names():
    steps = ["synth.quality.near_duplicate.NearDuplicate", "synth.quality.exact_duplicate.ExactDuplicate"]
    first, second = ({"_target_": step} for step in steps)
    duplicates = strategy({"_target_": "synth.steps.magpie.Magpie"}, first, "repeated", repeated=second).duplicates
    assert {name: one.reason for name, one in duplicates.items()} == {
        "NearDuplicate": "near_duplicate",
        "repeated": "exact_duplicate",
    }


def test_duplicates_without_an_index_are_refused(steps):
    given = {"strategy": {"steps": [{"_target_": "users_steps.DedupHandle"}]}}
    expected = "'users_steps.DedupHandle' has an invalid declaration: of its duplicates, it has no attribute reason"
    assert refusal(plain() | given) == f"strategy.steps[0]: {expected}"
