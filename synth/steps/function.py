"""What a step is: any callable with a record and an `llm`; and the optional attributes by which it describes itself.

Both are checked where the configuration is read (synth/components/protocols.py). Use `describe` to read them.
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
    """Optional attributes of a step. `columns`, also optional, is read by synth/configuration/strategy.py.

    A step with `is_filter` returns the record unchanged or rejects it. `rejections` are its reasons. `num_outputs` is
    the most records that it makes of one, None for several. The first step may have a `pool`, any step `duplicates`.
    `models` are models of the run that it may call beside its own and those named in `calls`; `pooling` are the pooling
    models by name, and the task of each. `outline` has short lines for the diagram about what the step does inside,
    such as its rounds. `under_system_prompt` is whether all its calls have a system prompt.
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
        """For filters: the rejection that a record with a partial text is certain of, whatever the `left` tokens, the
        most that may follow, will be. Called often, and in any thread."""
        ...

    def needs(self) -> Sequence[Needs]:
        """For each input the alternative columns that will do, and their types if these matter."""
        ...

    def calls(self) -> Sequence[Sampling]:
        """The sampling of each call for one record, at the most."""
        ...

    def as_user(self) -> Sequence[Sampling]:
        """The calls that draw a user's turn, which needs the model's pre-query template."""
        ...


@dataclass(frozen=True)
class Description:
    """A step's attributes, read once. `calls` is None if it does not declare them; `declares_num_outputs` is whether it
    declares the number of outputs, which is otherwise taken to be one."""

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
    """The attributes of a step, or of the function inside a partial. Raises exceptions of its `calls`, `needs` and
    `as_user`."""
    owner = described(function)
    names = [field.name for field in fields(Description) if hasattr(owner, field.name)]
    given: dict[str, Any] = {name: getattr(owner, name) for name in names}
    given |= {name: given[name]() for name in ("calls", "as_user", "needs") if name in given}
    return Description(**given | {"declares_num_outputs": isinstance(given.get("num_outputs"), int)})


def described(function: Any) -> Any:
    """The object with the attributes: the step, or the function inside a partial."""
    return function.func if isinstance(function, partial) else function
