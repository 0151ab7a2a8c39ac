"""The key `system_prompt` of any step: a template over the record's columns, under which all is asked."""

import pytest

from synth.configuration.strategy import strategy_of
from synth.errors import ConfigError
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.needs import refuse_missing_columns
from synth.steps.respond import Respond
from synth.steps.strategy import Step, Strategy
from tests.steps.fakes import FakeEngine, FakeTemplate


async def asked(function, system_prompt, record):
    engine = FakeEngine()
    strategy = Strategy("test", [Step("first", function, {}, system_prompt=system_prompt)])
    finished = await run_record(0, record, Context(strategy, {"main": Endpoint(engine, FakeTemplate(), "fake")}, 0))
    return engine.prompts, finished


async def test_what_a_step_asks_stands_under_it():
    async def ask_twice(record, llm):
        await llm.query()
        return record | {"response": (await llm.chat("Hi")).text}

    prompts, _ = await asked(ask_twice, "For {{ who }}.", {"who": "{{ 1 }}"})
    assert prompts == ["<system>For {{ 1 }}.<user>", "<system>For {{ 1 }}.<user>Hi<assistant>"]


async def test_a_system_prompt_of_the_record_goes_before_it():
    prompts, _ = await asked(
        Respond(), "For {{ who }}.", {"who": "me", "instruction": "Hi", "system_prompt": "Be kind."}
    )
    assert prompts == ["<system>Be kind.<user>Hi<assistant>"]


async def test_a_record_that_lacks_a_column_of_it_is_rejected():
    _, finished = await asked(Respond(), "For {{ who }}.", {"instruction": "Hi"})
    assert finished.rejected[0]["reason"] == "missing_column"


def test_any_step_takes_it_and_its_columns_are_looked_for_before_a_run():
    node = {"_target_": "synth.steps.respond.Respond", "system_prompt": "For {{ who }}."}
    strategy = strategy_of({"steps": [node]})
    assert strategy.steps[0].system_prompt == "For {{ who }}."
    with pytest.raises(
        ConfigError, match="reads the column 'who', which a grid does not draw; choose from instruction"
    ):
        refuse_missing_columns(strategy, ["instruction"], "a grid", drawn=True)
    with pytest.raises(ConfigError, match=r"strategy.steps\[0\].system_prompt: line 1: unexpected end of template"):
        strategy_of({"steps": [node | {"system_prompt": "{{ who"}]})
