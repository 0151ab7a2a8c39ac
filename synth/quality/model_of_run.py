"""A reference to a model of the run, for keys of steps that also take a component or a path."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelOfRun:
    """`name` is one of `models`. A step calls it as `llm.on(name)`."""

    name: str


def model_of_run(given: Any) -> Any:
    """A single word is the name of a model; anything else is returned unchanged. Write a folder as `./word`."""
    return ModelOfRun(given) if isinstance(given, str) and given.isidentifier() else given
