"""What a step is: anything that is called with a record and an `llm`; and what it may tell of itself.

Both are checked where the configuration is read (synth/protocols.py), so that whoever asks later gets an answer.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from synth.engines import Sampling, Task
from synth.quality.duplicates import Duplicates
from synth.records import Needs, Record, Rejection
from synth.steps.llm import LLM, Branch
from synth.steps.pool import PoolRules

Outcome = Record | Rejection | Sequence[Record | Rejection | Branch]


class StepFunction(Protocol):
    def __call__(self, record: Record, llm: LLM) -> Awaitable[Outcome] | Outcome: ...


class Description(Protocol):
    """All of it is optional. `columns`, which is optional too, is read by synth/config.py.

    `rejections` are reasons. `fan_out` is how many records it makes of one at the most, None for several. The first
    step may have a `pool`, any step `duplicates`. `models` are those of the run that it may ask beside its own and
    those that its calls name; `pooling` are the pooling models, by their names, and what it asks of each.
    """

    rejections: Sequence[str]
    fan_out: int | None
    pool: PoolRules | None
    duplicates: Duplicates
    models: Sequence[str]
    pooling: Mapping[str, Task]

    def needs(self) -> Sequence[Needs]:
        """For each thing that it reads the columns that will do, and what they have to hold, if that matters."""
        ...

    def calls(self) -> Sequence[Sampling]:
        """Each call for one record, at the most."""
        ...

    def as_user(self) -> Sequence[Sampling]:
        """Those of its calls that have a model say what a user would, which takes its pre-query template."""
        ...
