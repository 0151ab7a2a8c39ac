"""Checks for missing files and keys of engines and steps before anything is started.

An object with a method `missing() -> str | None` is asked, and answers with `key: problem`: the engine, each step, and
parameters of a step (a reward model, an embedding).
"""

from typing import Any

from synth.configuration.config import Config
from synth.errors import ConfigError


def refuse_what_is_missing(config: Config) -> None:
    """Raises ConfigError for the first thing that is known to be missing on this machine."""
    for name, engine in {"": config.engine, **{name: one.engine for name, one in config.pools.items()}}.items():
        if problem := _asked(engine):
            raise ConfigError(f"models.{name}.{problem.removeprefix('model.')}" if name else problem)
    for step in config.strategy.steps:
        if problem := _missing(step.function, f"strategy.{step.name}"):
            raise ConfigError(problem)


def _missing(part: Any, key: str) -> str | None:
    if problem := _asked(part):
        return f"{key}.{problem}"
    given = getattr(part, "__dict__", {}) | getattr(part, "keywords", {})  # keywords of a partial
    for name, value in given.items():
        if problem := _asked(value):
            return f"{key}.{name}.{problem}"
    return None


def _asked(part: Any) -> str | None:
    ask = getattr(part, "missing", None)
    return ask() if callable(ask) else None
