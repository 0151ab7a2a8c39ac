"""What a key is where nobody sets it: the same in the code and in conf/, and beside a key that is set."""

import functools
from dataclasses import MISSING, fields, is_dataclass, replace

import pytest
from hydra import compose, initialize_config_dir

from synth.components.instantiate import construct
from synth.configuration.config_groups import CONF_DIR, options
from synth.configuration.parsing import parse
from synth.configuration.settings import Cluster
from synth.engines import Sampling
from synth.steps.preference import Preference

# What a strategy sets because that is what makes it this strategy. All else in conf/ is the default, for people to see.
CHOSEN = {
    "Magpie": {"min_logprob", "only_instruction", "n_turns", "prefix", "system_prompts", "keep_system_prompt"},
    "EvolInstruct": {"answers"},
    "Judge": {"min_score", "model"},
    "UltraFeedback": {"model"},
    "Tag": {"with_response"},
    "Queries": {"criteria"},
    "TextGeneration": {"template", "system_prompt", "output", "examples"},
    "Length": {"column", "unit", "min", "max", "unless"},
    "Ending": {"column", "punctuation"},
    "Gibberish": {"column"},
    "Language": {"column", "among"},
    "Refusal": {"column"},
    "Repetition": {"column"},
    "Threshold": {"column", "min", "among"},
    "SemanticDuplicate": {"model", "min_distance"},
    "Reward": {"model"},
    "Sample": {"n", "k", "append", "passes", "verifier", "tool"},
    "Pick": {"by"},
    "Constrain": {"only"},
    "NearDuplicate": {"column"},
    "Grounded": {"judge"},  # whose model has a name
    "NeedsPassage": {"judge"},
    "Converse": {"persona", "goal", "min_logprob"},
}
SAMPLINGS = {("instruct_and_respond", "instruct.sampling"), ("evol_instruct_from_nothing", "evol_instruct.draw")}
SAMPLINGS |= {(f"{name}_reasoning", "sample.sampling") for name in ("math", "math_tool", "code")}
SAMPLINGS |= {("persona", "instruct.sampling")}
SAMPLINGS |= {("preference", "preference.judge")}  # whose model has a name
STRATEGIES = options("strategy")


@functools.cache
def config(*words, strategy="magpie"):
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        return parse(compose("config", [f"+strategy={strategy}", "model=qwen3-8b", *words]))


def default(field):
    return field.default_factory() if field.default_factory is not MISSING else field.default


def differing(component):
    """The fields of a component that are not what they are by default."""
    given = [(field.name, default(field)) for field in fields(component) if field.init]
    return {name for name, usual in given if usual is not MISSING and getattr(component, name) != usual}


def steps(strategy):
    return [(step.name, step.function) for step in config(strategy=strategy).strategy.steps]


def samplings(kind):
    """The names of a component's samplings, and those of the components in it."""
    for field in fields(kind):
        usual = default(field)
        if isinstance(usual, Sampling) or (isinstance(usual, list) and usual and isinstance(usual[0], Sampling)):
            yield (field.name,)
        elif is_dataclass(usual):
            yield from ((field.name, *inner) for inner in samplings(type(usual)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shipped_defaults_are_those_of_the_code(strategy):
    for name, step in steps(strategy):
        assert not {f"{name}.{key}" for key in differing(step) - CHOSEN.get(type(step).__name__, set())} - {
            key for of, key in SAMPLINGS if of == strategy
        }


@pytest.mark.parametrize(
    "chosen",
    [
        *(f"engine={name}" for name in options("engine")),
        *("source=file", "source=documents", "source=grid", "source=hub", "cluster=local"),
    ],
)
def test_so_are_those_of_engines_sources_and_clusters(chosen):
    strategy = "self_instruct" if chosen == "engine=openai_chat" else "magpie"
    words = {
        "source=file": ("source.path=a.jsonl",),
        "source=documents": ("source.path=manuals",),
        "source=grid": ("source.draw={a: [b]}",),
        "source=hub": ("source.name=a/b",),
    }.get(chosen, ())
    if chosen == "engine=vllm_pooling":  # for no main
        made = config(strategy="magpie_filtered_pro")
        made = replace(made, engine=made.models["reward"].engine)
    else:
        made = config(chosen, *words, strategy=strategy)
    component = {"engine": made.engine, "source": made.source, "cluster": made.cluster}[chosen.partition("=")[0]]
    assert differing(component) - {"model"} == set()
    assert made.cluster == Cluster()


def every_sampling():
    kinds = {type(step) for strategy in STRATEGIES for _, step in steps(strategy)}
    return [(kind, path) for kind in kinds for path in samplings(kind)]


def test_a_key_of_a_sampling_leaves_the_steps_other_defaults_as_they_are():
    tried = set()
    for kind, path in every_sampling():
        required = {"template": "x"} if kind.__name__ == "TextGeneration" else {}
        usual, given = kind(**required), {"max_tokens": 77}
        for name in path:
            usual = getattr(usual, name)
        for name in reversed(path):
            given = {name: given}
        made = construct(kind, required | given, "step")
        for name in path:
            made = getattr(made, name)
        if isinstance(usual, list):
            assert made == [replace(usual[0], max_tokens=77)]
        else:
            assert made == replace(usual, max_tokens=77)
        tried.add((kind.__name__, ".".join(path)))
    assert {("Respond", "sampling"), ("Tag", "sampling"), ("Instances", "classify"), ("Tasks", "sampling")} <= tried
    assert {("Magpie", "response"), ("Preference", "judge.sampling"), ("Preference", "responses")} <= tried


def test_each_of_several_samplings_keeps_the_defaults():
    made = construct(Preference, {"responses": [{"temperature": 0.5}, {"top_p": 0.9}]}, "step").responses
    assert made == [Sampling(temperature=0.5, max_tokens=2048), Sampling(temperature=0.7, top_p=0.9, max_tokens=2048)]


async def users_step(record, llm, sampling: Sampling = Sampling(temperature=0.0, max_tokens=64)):  # noqa: B008
    return record


class UsersStep:
    def __init__(self, sampling: Sampling = Sampling(temperature=0.0, max_tokens=64)):  # noqa: B008
        self.sampling = sampling

    async def __call__(self, record, llm):
        return record


@pytest.mark.parametrize("name", ["users_step", "UsersStep"])
def test_a_step_of_ones_own_keeps_its_defaults_too(name):
    node = {"_target_": f"{__name__}.{name}", "sampling": {"max_tokens": 8}}
    (step,) = parse(config().resolved | {"strategy": {"steps": [node]}}).strategy.steps
    made = step.function.sampling if name == "UsersStep" else step.function.keywords["sampling"]
    assert made == Sampling(temperature=0.0, max_tokens=8)
