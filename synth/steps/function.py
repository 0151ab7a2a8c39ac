"""What a step is: anything that is called with a record and an `llm`; and what it may tell of itself.

Both are checked where the configuration is read (synth/components/protocols.py). Whoever wants to know later asks
`describe`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Protocol

from synth.engines import Sampling, Task
from synth.quality.duplicates import Duplicates
from synth.records import Needs, Record, Rejection
from synth.steps.llm import LLM, Branch
from synth.steps.pool import PoolRules

Outcome = Record | Rejection | Sequence[Record | Rejection | Branch]


class StepFunction(Protocol):
    def __call__(self, record: Record, llm: LLM) -> Awaitable[Outcome] | Outcome: ...


class Describes(Protocol):
    """All of it is optional. `columns`, which is optional too, is read by synth/configuration/strategy.py.

    One that `is_filter` returns the record as it came, or rejects it. `rejections` are reasons. `num_outputs` is how
    many records it makes of one at the most, None for several. The first step may have a `pool`, any step `duplicates`.
    `models` are those of the run that it may ask beside its own and those that its calls name; `pooling` are the
    pooling models, by their names, and what it asks of each. `outline` is what the step does inside, a short line each,
    such as its rounds: for the picture. `under_system_prompt` is whether all that it asks has a
    system prompt.
    """

    is_filter: bool
    rejections: Sequence[str]
    num_outputs: int | None
    pool: PoolRules | None
    duplicates: Duplicates
    models: Sequence[str]
    pooling: Mapping[str, Task]
    outline: Sequence[str]
    under_system_prompt: bool

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """Of a filter: the rejection that a record is certain of while its last text is still written, whatever the
        `left` tokens will be, which are as many as can come. Called often, and in any thread."""
        ...

    def needs(self) -> Sequence[Needs]:
        """For each thing that it reads the columns that will do, and what they have to hold, if that matters."""
        ...

    def calls(self) -> Sequence[Sampling]:
        """Each call for one record, at the most."""
        ...

    def as_user(self) -> Sequence[Sampling]:
        """Those of its calls that have a model say what a user would, which takes its pre-query template."""
        ...


@dataclass(frozen=True)
class Description:
    """What a step tells of itself, once and whole. `calls` is None where it does not tell of them;
    `declares_num_outputs` is whether it says how many records it makes of one, which is else taken to be one."""

    calls: Sequence[Sampling] | None = None
    is_filter: bool = False
    doomed: Callable[[Record, int], Rejection | None] | None = None
    as_user: Sequence[Sampling] = ()
    needs: Sequence[Needs] = ()
    rejections: Sequence[str] = ()
    num_outputs: int | None = 1
    declares_num_outputs: bool = False
    pool: PoolRules | None = None
    duplicates: Duplicates | None = None
    models: Sequence[str] = ()
    pooling: Mapping[str, Task] | None = None
    outline: Sequence[str] = ()
    under_system_prompt: bool = False
    columns: Any = None


def describe(function: Any) -> Description:
    """Of a function with parameters, what the function tells behind the partial that binds them. Raises what its own
    `calls`, `needs` or `as_user` do."""
    teller = who_tells(function)
    names = [one.name for one in fields(Description) if hasattr(teller, one.name)]
    told: dict[str, Any] = {name: getattr(teller, name) for name in names}
    told |= {name: told[name]() for name in ("calls", "as_user", "needs") if name in told}
    return Description(**told | {"declares_num_outputs": isinstance(told.get("num_outputs"), int)})


def who_tells(function: Any) -> Any:
    """What has the attributes: a step, or the function of one that is bound to parameters."""
    return function.func if isinstance(function, partial) else function
