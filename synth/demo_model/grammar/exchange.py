"""One question with its answer, and what may be asked next. All topics of the grammar speak in these."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Exchange:
    """`category` and `language` are labels of synth/steps/prompts. `follow` makes a question that builds on this one.

    `inputs` is (task, input, output) where the question is a task on a separable input, and `labels` are all the
    outputs that the task allows, if it is a classification.
    """

    question: str
    answer: str
    category: str
    language: str = "en"
    follow: "Callable[[Random], Exchange] | None" = None
    inputs: tuple[str, str, str] | None = None
    labels: tuple[str, ...] = ()


Topic = Callable[[Random], Exchange]
