"""Constraints that are drawn into an instruction."""

import random
from types import SimpleNamespace

import pytest

from synth.components.instantiate import build
from synth.errors import ConfigError
from synth.records import Rejection
from synth.steps.constrain import Constrain
from synth.steps.function import StepFunction
from synth.verifiers.constraints import Constraint


def constrained(record, seed=0, **keys):
    return Constrain(**keys)(record, SimpleNamespace(rng=random.Random(seed)))


def test_an_instruction_asks_for_what_the_column_holds():
    made = constrained({"instruction": "Describe a bee."}, kinds=["max_words"])
    (constraint,) = map(Constraint.from_text, made["constraints"])
    assert made["instruction"].startswith("Describe a bee.")
    assert str(constraint.parameters["n"]) in made["instruction"]


def test_as_many_are_drawn_as_are_asked_for_and_differ_from_record_to_record():
    counts = {len(constrained({"instruction": "a"}, seed, min=2, max=3)["constraints"]) for seed in range(50)}
    assert counts == {2, 3}
    assert len({constrained({"instruction": "a"}, seed)["instruction"] for seed in range(50)}) > 45


def test_of_a_conversation_the_last_message_of_the_user_asks():
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Describe a bee."},
    ]
    made = constrained({"instruction": "Hi", "messages": messages})
    assert made["instruction"] == "Hi"
    assert made["messages"][:2] == messages[:2]
    assert made["messages"][2]["content"].startswith("Describe a bee.")
    assert len(made["messages"][2]["content"]) > len("Describe a bee.")


@pytest.mark.parametrize("record", [{}, {"instruction": None}, {"instruction": " "}])
def test_without_an_instruction_there_is_nothing_to_constrain(record):
    with pytest.raises(Rejection, match="no_instruction"):
        constrained(record)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"kinds": ["max_word"]}, "there is no constraint 'max_word'; did you mean 'max_words'?"),
        ({"min": 3, "max": 2}, "max: must be at least min=3, got 2"),
        ({"min": 0}, "must be at least 1"),
    ],
)
def test_what_can_not_be_drawn_is_refused(keys, expected):
    with pytest.raises(ConfigError, match=r"strategy\.constrain") as caught:
        build({"_target_": "synth.steps.constrain.Constrain", **keys}, "strategy.constrain", StepFunction)
    assert expected in str(caught.value)


@pytest.mark.parametrize("kind", ["math", None])
def test_only_records_of_some_kinds_are_constrained(kind):
    keys = {"only": {"kind": ["writing", "advice"]}}
    assert constrained({"instruction": "a", "kind": "writing"}, **keys)["constraints"]
    other = {"instruction": "a", "kind": kind}
    assert constrained(other, **keys) == other | {"constraints": []}
    assert ("kind",) in Constrain(**keys).needs()
