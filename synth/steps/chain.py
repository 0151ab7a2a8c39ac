"""Runs one record through a strategy's chain of steps.

Promises: whatever a step returns or raises, the record ends as exactly one Finished: rows kept, rows rejected with a
reason, or both after a fan-out, all of them valid for the dataset. Only an error of a broken engine is raised, because
the record is not to blame. Branches of a fan-out run concurrently and never wait for each other.

Knows nothing of shards, files or machines.
"""

import asyncio
import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from synth.engines import EngineError
from synth.engines.repetition import REPETITION
from synth.errors import reason
from synth.own_time import OwnTime
from synth.records import Finished, Record, Rejection, record_id, text_of
from synth.steps.beginning import Doomed, Foresee
from synth.steps.dedup import DedupHandle, RecordKeys, SharedKeys
from synth.steps.endpoints import MAIN, Endpoint, PoolingEndpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM, Branch
from synth.steps.pool import Pool
from synth.steps.rows import checked, clean, row, unfit, without
from synth.steps.strategy import Step, Strategy, module_of_step
from synth.template import filled
from synth.tool_calls import canonical

log = logging.getLogger(__name__)

Lineage = list[dict[str, str | None]]


class Turn(Protocol):
    """A branch's slot, which permits it to run."""

    def release(self) -> None: ...


class Branching(Protocol):
    """Is informed of fan-outs, and decides which branches may run."""

    def branch_out(self, number: int, count: int) -> None: ...

    async def branch(self, number: int) -> Turn: ...

    def branch_ended(self, number: int) -> None: ...


@dataclass(frozen=True)
class Context:
    """What the records of a run share, such as the `endpoints` of its models by name; and of this record, its `pool`
    ticket and, for a branch, its `turn`. `claims` are set if the chain has a dedup step. Without `branching` all
    branches run at once. `step_timeout_s` bounds the time of a step without waiting (synth/own_time.py); `on_stuck` is
    called with the id and step of a record that does not end even so. `foreign` are values of the record's source that
    have the name of a column and don't fit it: steps see them, and they are not written."""

    strategy: Strategy
    endpoints: Mapping[str, Endpoint | PoolingEndpoint]
    seed: int
    pool: Pool | None = None
    claims: SharedKeys | None = None
    branching: Branching | None = None
    turn: Turn | None = None
    step_timeout_s: float | None = None
    on_stuck: Callable[[str, str], None] = lambda id, step: None
    foreign: Record = field(default_factory=dict)

    def foresee(self, index: int) -> Foresee | None:
        """The verdict of later filters on an unfinished record; None if there are no such filters."""
        filters = self.strategy.filters_after(index)

        def rejection(record: Record, left: int) -> Doomed | None:
            for step in filters:
                if step.description.doomed and (why := step.description.doomed(record, left)):
                    return Doomed(step.name, why)
            return None

        return rejection if filters else None


async def run_record(number: int, row: Record | Rejection, context: Context) -> Finished:
    """The outcome of one record. `row` is the source's row, or a Rejection if it had none.

    Raises EngineError if the engine or a shared process broke; the record is then unfinished and may be run again.
    """
    record, context = _from_source(row, context)
    if isinstance(record, Rejection):
        rejected = _rejected_row(record_id(number), {}, Ledger(), "source", record, context)
        return Finished(number, rejected=[rejected])
    if context.claims is None:
        return await _walk(number, (), record, Ledger(), 0, context)
    claimant = RecordKeys(context.claims)
    finished = await _walk(number, (), record, Ledger(), 0, replace(context, claims=claimant))
    return replace(finished, claims=claimant.made())


_BEGUN: tuple[Rejection, None] = (Rejection("begun"), None)


def set_aside(number: int, row: Record | Rejection, context: Context, why: Rejection, by: str = "engine") -> Finished:
    """A record rejected without running it: its engine did not survive it, or a step of it never ended."""
    record, context = _from_source(row, context)
    known = record if isinstance(record, dict) else {}
    return Finished(number, rejected=[_rejected_row(record_id(number), known, Ledger(), by, why, context)])


def _from_source(row: Record | Rejection, context: Context) -> tuple[Record | Rejection, Context]:
    """The initial record. A column that the strategy declares must fit; others may have any type."""
    if isinstance(row, Rejection):
        return row, context
    strategy, row = context.strategy, canonical(row)
    free = {name: kind for name, kind in strategy.columns.items() if name not in (strategy.declared or {})}
    with suppress(RecursionError):  # raised again below
        context = replace(context, foreign=unfit(clean(row), free))
    return _checked(row, context), context


async def _walk(
    number: int, path: tuple[int, ...], record: Record, ledger: Ledger, first: int, context: Context
) -> Finished:
    id = record_id(number, path)
    for index, step in enumerate(context.strategy.steps[first:], first):
        pool = None if index else context.pool
        claims = context.claims if step.description.duplicates is not None else None
        dedup = DedupHandle(claims, step.name, (number, *path)) if claims else None
        foresee = context.foresee(index)
        llm = LLM(context.endpoints, ledger, context.seed, id, step.name, step.model, pool, dedup, foresee)
        rounds = llm.rounds
        outcome = await _call(step, record, llm, context)
        if isinstance(outcome, dict):
            outcome = _advance(record, outcome, step, ledger, llm.rounds > rounds, context)
        if isinstance(outcome, Rejection):
            by = outcome.by if isinstance(outcome, Doomed) else step.name
            rejected = _rejected_row(id, record, ledger, by, outcome, context)
            return Finished(number, rejected=[rejected], spent={id: dict(ledger.spent)})
        if isinstance(outcome, list):
            return await _branch(number, path, record, ledger, index, outcome, context)
        record = outcome
    return Finished(number, kept=[_row(id, record, ledger, context)], spent={id: dict(ledger.spent)})


async def _branch(
    number: int,
    path: tuple[int, ...],
    record: Record,
    ledger: Ledger,
    index: int,
    outcomes: list[tuple[Record | Rejection, Lineage | None]],
    context: Context,
) -> Finished:
    step, branching = context.strategy.steps[index], context.branching
    if branching:
        branching.branch_out(number, len(outcomes))
    if context.turn:  # the branches of this branch have turns of their own
        context.turn.release()

    async def branch(
        child: int, outcome: Record | Rejection, lineage: Lineage | None, turn: Turn | None = None
    ) -> Finished:
        try:
            return await walk(child, outcome, lineage, replace(context, turn=turn))
        finally:
            if turn and branching:
                turn.release()
                branching.branch_ended(number)

    async def walk(child: int, outcome: Record | Rejection, lineage: Lineage | None, context: Context) -> Finished:
        child_path = (*path, child)
        # The trunk's usage is counted for the first branch, so that the sum over rows is correct.
        spent = dict(ledger.spent) if child == 0 else {}
        noted = ledger.lineage if lineage is None else lineage
        own = ledger.branched(spent, list(noted))
        if isinstance(outcome, dict):
            outcome = _advance(record, outcome, step, own, lineage is not None, context)
        if isinstance(outcome, Rejection):
            id = record_id(number, child_path)
            rejected = _rejected_row(id, record, own, step.name, outcome, context)
            return Finished(number, rejected=[rejected], spent={id: spent})
        return await _walk(number, child_path, outcome, own, index + 1, context)

    try:
        async with asyncio.TaskGroup() as group:
            branches = []
            for child in range(len(outcomes)):
                # Tasks are not kept in a list: there may be thousands.
                outcome, outcomes[child] = outcomes[child], _BEGUN
                turn = await branching.branch(number) if branching else None
                branches.append(group.create_task(branch(child, *outcome, turn)))
    except ExceptionGroup as failures:  # the engine broke
        raise failures.exceptions[0] from None
    parts = [branch.result() for branch in branches]
    return Finished(
        number,
        kept=[row for part in parts for row in part.kept],
        rejected=[row for part in parts for row in part.rejected],
        spent={id: spent for part in parts for id, spent in part.spent.items()},
    )


async def _call(
    step: Step, record: Record, llm: LLM, context: Context
) -> Record | Rejection | list[tuple[Record | Rejection, Lineage | None]]:
    """A step's outcome, with every failure as a rejection; for several outputs each with its lineage, if it has one.

    The watchdog of a worker recognizes this function's frame (synth/schedule/watchdog.py)."""
    own = OwnTime(context.step_timeout_s, lambda: context.on_stuck(llm.id, step.name))
    try:
        with own:
            if step.system_prompt is not None:
                llm.system = filled(step.system_prompt, record)
            # A copy: a step that changes its record and then fails leaves the original unchanged.
            answer = step.function(clean(record), llm)
            outcome: object = await answer if inspect.isawaitable(answer) else answer
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # the run ends
        outcome = _as_rejection(step, error)  # cancellation of something that the step awaits
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        outcome = _as_rejection(step, error)
    if llm.failure is not None:
        raise llm.failure
    if own.over:
        outcome = timed_out(step.name, context.step_timeout_s)
    if isinstance(outcome, list | tuple):
        branches = [
            (branch.outcome, branch.lineage) if isinstance(branch, Branch) else (branch, None) for branch in outcome
        ]
        return [(_checked(one, context), lineage) for one, lineage in branches] or Rejection("nothing_returned")
    return _checked(outcome, context)


def timed_out(step: str, seconds: float | None) -> Rejection:
    why = f"{step} took more than step_timeout_s={seconds:g}, without waiting for the engine"
    return Rejection("timeout", why)


def _checked(outcome: object, context: Context) -> Record | Rejection:
    try:
        if isinstance(outcome, dict):
            return checked(outcome, context.strategy.columns, context.foreign)
        if isinstance(outcome, Rejection):
            return outcome if outcome.reason else Rejection("error", "a Rejection needs a reason")
    except Rejection as unfit:
        return unfit
    except RecursionError:
        return Rejection("error", "the record is nested too deeply")
    kind = type(outcome).__name__
    return Rejection("error", f"returned {kind}; a step must return a record, a list of records, or a Rejection")


def _as_rejection(step: Step, error: BaseException) -> Rejection:
    while isinstance(error, BaseExceptionGroup):  # from concurrent calls of a step
        error = error.exceptions[0]
    if isinstance(error, Rejection):
        return error
    if isinstance(error, EngineError):
        raise error
    log.debug("step %s failed", step.name, exc_info=error)
    frames = list(traceback.extract_tb(error.__traceback__))
    own = getattr(sys.modules.get(module_of_step(step.function)), "__file__", None)
    frames = [frame for frame in frames if frame.filename == own] or frames  # frames of libraries are less useful
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = reason(error) if isinstance(error, ValidationError) else error
    return Rejection("error", f"{type(error).__name__}: {message}{where}")


def _advance(
    before: Record, after: Record, step: Step, ledger: Ledger, noted: bool, context: Context
) -> Record | Rejection:
    """The record after a step, with columns that depend on the first turn updated; a rejection if its text loops."""
    asked, answered = (before.get(name) != after.get(name) for name in ("instruction", "response"))
    if asked and not noted:
        ledger.trace(step.name, text_of(after, "instruction"), several=len(context.endpoints) > 1)
    words = text_of(after, "instruction") if after.get("response") is None else text_of(after, "response")
    source = ledger.completion(words)
    if (asked or answered) and before.get("finish_reason") == after.get("finish_reason"):
        # The model may have been called since: take the call that wrote this text.
        after["finish_reason"] = source.finish_reason if source else ledger.finish_reason
    if asked or answered:
        by = source or ledger.last_of(step.name)
        ledger.model = by.model if by else ledger.model
    if answered and "reasoning" in context.strategy.columns and before.get("reasoning") == after.get("reasoning"):
        after["reasoning"] = source.reasoning if source else None
    if answered and "thinking" in context.strategy.columns and before.get("thinking") == after.get("thinking"):
        after["thinking"] = source.thinking if source else None
    if (asked or answered) and before.get("messages") == after.get("messages"):
        after["messages"] = None  # they belonged to the old text
    new = asked or answered or before.get("finish_reason") != REPETITION
    if new and after.get("finish_reason") == REPETITION and not ledger.may_loop(words):
        return Rejection(REPETITION, record=after)
    return after


def _row(id: str, record: Record, ledger: Ledger, context: Context) -> Record:
    strategy, foreign = context.strategy, context.foreign
    record = without(foreign, record) if foreign else record
    model = ledger.model or context.endpoints[MAIN].model
    return row(id, record, ledger, strategy.columns, strategy=strategy.name, model=model, seed=context.seed)


def _rejected_row(id: str, record: Record, ledger: Ledger, by: str, rejection: Rejection, context: Context) -> Record:
    further = _checked(rejection.record or {}, context)
    if isinstance(further, dict):
        record = record | further
    why = {"reason": str(rejection.reason), "detail": " ".join(str(rejection.detail).split())[:1000] or None}
    rejected: Record = _row(id, record, ledger, context) | {"rejected_by": by} | clean(why)
    return rejected
