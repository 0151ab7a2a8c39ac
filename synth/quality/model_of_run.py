"""A model of the run, named at a step's key that takes a component or a path, too."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelOfRun:
    """`name` is one of `models`. Its engines are the run's; a step asks them by `llm.on(name)`."""

    name: str


def model_of_run(given: Any) -> Any:
    """A word is the name of a model; anything else is returned as it is. A folder of one word is written `./word`."""
    return ModelOfRun(given) if isinstance(given, str) and given.isidentifier() else given
