"""Verifies by a user's function that is given a record and returns whether it passes, or how well."""

import asyncio
import copy
import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from functools import cached_property
from numbers import Real
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.components.lists import as_list
from synth.records import Needs, Record
from synth.verifiers import Verdict
from synth.verifiers.processes import Processes


class CheckFunction(Protocol):
    """True, False, or a number; more is better. May be async. It gets a copy of the record."""

    def __call__(self, record: Record) -> bool | float | Awaitable[bool | float]: ...


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Function:
    """Passes if `function` returns True, or a number of at least `passes_from`, which is the score.

    An exception is an `error`, as is any other value. After `timeout_s` it is a `timeout`. A function that is not async
    runs in a thread, which can't be ended: with `own_process` it runs in one of `processes` subprocesses, which can,
    and may crash. `columns` are those that it reads, so that a source without them is refused before the start.
    """

    function: Annotated[Any, BeforeValidator(lambda given: part(given, "function", CheckFunction))]
    passes_from: float = 1.0
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    own_process: bool = False
    processes: Annotated[int, Field(ge=1)] = 1
    columns: Annotated[list[str], BeforeValidator(as_list)] = field(default_factory=list)

    def needs(self) -> list[Needs]:
        return [(name,) for name in self.columns]

    async def verify(self, record: Record) -> Verdict:
        if self.own_process:
            reply = await self._processes.ask(record)
            return Verdict(*reply.value) if reply.kind == "value" else Verdict(reply.kind, 0.0, reply.detail)
        task = asyncio.current_task()
        try:
            return await asyncio.wait_for(self._judged(copy.deepcopy(record)), self.timeout_s)
        except TimeoutError:
            return Verdict("timeout", 0.0, f"it took more than timeout_s={self.timeout_s:g}")
        except asyncio.CancelledError as error:
            if task is None or task.cancelling():
                raise  # the record ends
            return _raised(error)

    async def _judged(self, record: Record) -> Verdict:
        """Exceptions are caught in the task or thread of the function: SystemExit would end the event loop, and a
        future can't hold StopIteration."""
        try:
            if _is_async(self.function):
                value = await self.function(record)
            else:
                value = await asyncio.to_thread(_called, self.function, record)
                value = await value if inspect.isawaitable(value) else value
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return _raised(error)
        return value if isinstance(value, Verdict) else judged(value, self.passes_from)

    async def close(self) -> None:
        """End the idle processes, before another event loop uses this verifier."""
        await self._processes.close()

    @cached_property
    def _processes(self) -> Processes:
        judge = _Judge(self.function, self.passes_from)
        return Processes("a verifier's function", judge, timeout_s=self.timeout_s, count=self.processes)


class _Judge:
    """Runs in the subprocess."""

    def __init__(self, function: Callable[[Record], Any], passes_from: float):
        self._function, self._passes_from = function, passes_from

    def __call__(self, record: Record) -> Sequence[Any]:
        value = self._function(record)
        if inspect.isawaitable(value):

            async def waited() -> Any:
                return await value

            value = asyncio.run(waited())
        return judged(value, self._passes_from)


def judged(value: Any, passes_from: float) -> Verdict:
    """The verdict for a function's result; scalars of numpy and torch count as numbers."""
    if not isinstance(value, bool | Real) and callable(getattr(value, "item", None)):
        value = value.item()
    if isinstance(value, bool):
        return Verdict("passed", 1.0) if value else Verdict("failed", 0.0)
    if not isinstance(value, Real):
        return Verdict("error", 0.0, f"returned {type(value).__name__}, neither a truth value nor a number")
    score = float(value)
    if not math.isfinite(score):
        return Verdict("error", 0.0, f"returned {score}")
    return Verdict("passed" if score >= passes_from else "failed", score, f"{score:g}")


def _called(function: Callable[[Record], Any], record: Record) -> Any:
    try:
        return function(record)
    except BaseException as error:
        return _raised(error)


def _is_async(function: Any) -> bool:
    called = function if inspect.isroutine(function) else type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _raised(error: BaseException) -> Verdict:
    return Verdict("error", 0.0, f"{type(error).__name__}: {error}")
