"""Pipelines in Python: each is written down as a strategy's YAML would say it, and read back as the same steps."""

from functools import partial

import pytest

from synth import ConfigError, Pipeline, Sampling
from synth.configuration.parsing import parse
from synth.quality.length import Length
from synth.quality.reward import Reward, SequenceClassifier
from synth.steps.judge import Judge
from synth.steps.magpie import Magpie
from synth.steps.preference import Preference
from synth.steps.respond import Respond
from tests.schedule.configs import config


async def shorten(record, llm, words=20):
    return record | {"response": " ".join(record["response"].split()[:words])}


class Doubt:
    def __init__(self, times=1):
        self.times = times

    async def __call__(self, record, llm):
        return record


def read_back(*steps, **more):
    resolved = config().resolved | {"strategy": Pipeline(*steps, **more).keys()}
    return [step.function for step in parse(resolved).strategy.steps]


@pytest.mark.parametrize(
    "step",
    [
        Magpie(),
        Magpie(n_turns=2, response=Sampling(temperature=0.5, max_tokens=64)),
        Respond(),
        Judge(criteria=["Is it true?"], min_score=4),
        Preference(k=3, responses=[Sampling(temperature=0.7)], judge=Judge(criteria=["Is it kind?"])),
        Length(min=3),
    ],
)
def test_a_step_is_read_back_as_it_was_made(step):
    first = [] if isinstance(step, Magpie) else [Magpie()]
    assert read_back(*first, step)[-1] == step


def test_functions_and_classes_of_someones_own_are_named_with_their_parameters():
    found = read_back(Magpie(), shorten, partial(shorten, words=5), Doubt, partial(Doubt, times=3))
    assert found[1] is shorten
    assert found[2].keywords == {"words": 5} and found[2].func is shorten
    assert [one.times for one in found[3:]] == [1, 3]


def test_an_object_in_a_step_is_named_where_its_step_could_not_know_its_class(tmp_path):
    step = Reward(model=SequenceClassifier(path=str(tmp_path), max_tokens=99))
    assert Pipeline(Magpie(), step).keys()["steps"][1]["model"] == {
        "_target_": "synth.quality.reward.SequenceClassifier",
        "path": str(tmp_path),
        "max_tokens": 99,
    }


def test_a_pipeline_has_a_name_models_and_columns_as_a_yaml_has():
    keys = Pipeline(Magpie(), name="mine", models={"judge": "demo"}, columns={"rank": "int64"}).keys()
    assert keys == {
        "name": "mine",
        "models": {"judge": "demo"},
        "columns": {"rank": "int64"},
        "steps": [{"_target_": "synth.steps.magpie.Magpie"}],
    }
    assert repr(Pipeline(Magpie(), shorten)) == (
        "Pipeline(synth.steps.magpie.Magpie, tests.test_pipeline.shorten, name='pipeline')"
    )


async def at_home(record, llm): ...


at_home.__module__ = "__main__"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda record, llm: record, "step 1: .*<lambda> must be in a file that can be imported, such as my_steps.py"),
        (at_home, "step 1: __main__.at_home must be in a file"),
        (Doubt(2), r"step 1: the parameters of .*Doubt are unknown; use functools.partial\(Doubt, key=value\)$"),
        (partial(shorten, {}), "step 1: give the values of .*shorten by name"),
        (partial(shorten, words=object()), "step 1, words: the parameters of builtins.object are unknown"),
    ],
)
def test_what_can_not_be_named_on_another_machine_is_refused(step, message):
    with pytest.raises(ConfigError, match=message):
        Pipeline(step).keys()


def test_a_pipeline_without_steps_is_refused():
    with pytest.raises(ConfigError, match="at least one step"):
        Pipeline()
