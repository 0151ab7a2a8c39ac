"""What the servers of chat APIs refuse of a run, asked of them before anything is started.

Servers differ in the fields that they take, some only in certain values: OpenAI's reasoning models take no temperature
but 1. So a greeting is answered once for each way in which the steps say that they draw. A server that does not answer
yet is not waited for here; who starts the engines does.
"""

from contextlib import suppress

from synth.configuration.config import Config, key_of
from synth.engines import EngineError, Sampling, Unavailable
from synth.engines.openai_chat import OpenAIChat
from synth.errors import ConfigError
from synth.steps.llm import MAIN


async def refuse_what_servers_refuse(config: Config) -> None:
    """Raises ConfigError for a key that is wrong, a model that the server does not have, a field that it refuses."""
    for name, engine in config.own_engines.items():
        if isinstance(engine, OpenAIChat):
            with suppress(Unavailable):
                await _ask(config, name, engine)


async def _ask(config: Config, name: str, engine: OpenAIChat) -> None:
    where = "" if name == MAIN else f"{key_of(name)}."
    try:
        await engine.start()
    except Unavailable:
        raise
    except EngineError as error:
        told = str(error).removeprefix("engine.")
        raise ConfigError(f"{where}engine{'.' if told != str(error) else ': '}{told}") from None
    try:
        for step, sampling in _samplings(config, name):
            try:
                await engine.greet(sampling)
            except ValueError as error:
                raise ConfigError(
                    f"strategy.{step}: {str(error).replace('engine.omit', f'{where}engine.omit')}"
                ) from None
            except RuntimeError:  # it failed at this one greeting
                continue
    finally:
        await engine.stop()


def _samplings(config: Config, name: str) -> list[tuple[str, Sampling]]:
    """The different ways in which steps draw from the engines of a model, each with the first step that does."""
    engine_of = {one.name: one.engine_of for one in config.models.values()}
    found: list[tuple[str, Sampling]] = []
    for step in config.strategy.steps:
        for call in step.description.calls or ():
            model = call.model or step.model
            if engine_of.get(model, model) == name and call not in (one for _, one in found):
                found.append((step.name, call))
    return found
