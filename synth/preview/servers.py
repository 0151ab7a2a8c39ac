"""Checks with the servers of chat APIs, before anything is started, that they accept the run's requests.

Servers differ in the fields that they accept, some only with certain values: OpenAI's reasoning models accept no
temperature but 1. So a test request is sent for each different sampling of the steps. A server that does not answer yet
is not waited for here, but when the engines are started.
"""

from contextlib import suppress

from synth.configuration.config import Config, key_of
from synth.engines import EngineError, Sampling, Unavailable
from synth.engines.openai_chat import OpenAIChat
from synth.errors import ConfigError
from synth.steps.endpoints import MAIN


async def refuse_what_servers_refuse(config: Config) -> None:
    """Raises ConfigError for a wrong key, a model that the server does not have, or a field that it refuses."""
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
        message = str(error).removeprefix("engine.")
        raise ConfigError(f"{where}engine{'.' if message != str(error) else ': '}{message}") from None
    try:
        for step, sampling in _samplings(config, name):
            try:
                await engine.greet(sampling)
            except ValueError as error:
                raise ConfigError(
                    f"strategy.{step}: {str(error).replace('engine.omit', f'{where}engine.omit')}"
                ) from None
            except RuntimeError:  # only this test request failed
                continue
    finally:
        await engine.stop()


def _samplings(config: Config, name: str) -> list[tuple[str, Sampling]]:
    """The different samplings for the engines of a model, each with the first step that uses it."""
    engine_of = {model.name: model.engine_of for model in config.models.values()}
    found: list[tuple[str, Sampling]] = []
    for step in config.strategy.steps:
        for call in step.description.calls or ():
            model = call.model or step.model
            if engine_of.get(model, model) == name and call not in (one for _, one in found):
                found.append((step.name, call))
    return found
