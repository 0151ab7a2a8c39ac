"""The road of one record through a strategy's chain of steps.

Promises: whatever a step returns or raises, the record ends as exactly one Finished: rows kept, rows rejected
with a reason, or both after a fan-out, all of them fit to be written. Only a broken engine is let through,
because it says nothing of the record. Branches of a fan-out run side by side and never wait for one another.

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
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM, MAIN, Branch, Endpoint
from synth.steps.pool import Pool
from synth.steps.pooling import PoolingEndpoint
from synth.steps.rows import checked, clean, row, unfit, without
from synth.steps.strategy import Step, Strategy, module_of_step
from synth.template import filled
from synth.tool_calls import canonical

log = logging.getLogger(__name__)

Lineage = list[dict[str, str | None]]


class Turn(Protocol):
    """A branch's permission to run."""

    def release(self) -> None: ...


class Branching(Protocol):
    """Who is told of a record that becomes several, and says which of them may run."""

    def branch_out(self, number: int, count: int) -> None: ...

    async def branch(self, number: int) -> Turn: ...

    def branch_ended(self, number: int) -> None: ...


@dataclass(frozen=True)
class Context:
    """What every record of a run shares, the `endpoints` of its models by name among it; but for `pool`, its own door
    to what they share, and `turn`, a branch's own. `claims` are there where a step is against duplicates. Without
    `branching` all branches run at once. `step_timeout_s` bounds what a step takes of its own (synth/own_time.py);
    `on_stuck` hears of the id and the step of a record that does not end even so. `foreign` is the record's own: what
    its source has under a column's name and does not fit there. Steps see it, and it is not written."""

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
        """What the filters after a step say of a record that it has not finished; None where there are none."""
        filters = self.strategy.filters_after(index)

        def rejection(record: Record, left: int) -> Doomed | None:
            for step in filters:
                if step.description.doomed and (why := step.description.doomed(record, left)):
                    return Doomed(step.name, why)
            return None

        return rejection if filters else None


async def run_record(number: int, row: Record | Rejection, context: Context) -> Finished:
    """The outcome of one record. `row` is what the source gave for it, a Rejection where it had nothing to give.

    Raises EngineError when the engine broke under it, or what the records share; the record is then not finished and
    may be run again.
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
    """A record that is not to be run: a rejection by the engine that did not survive it, or by a step without end."""
    record, context = _from_source(row, context)
    known = record if isinstance(record, dict) else {}
    return Finished(number, rejected=[_rejected_row(record_id(number), known, Ledger(), by, why, context)])


def _from_source(row: Record | Rejection, context: Context) -> tuple[Record | Rejection, Context]:
    """The record to begin with. A column that the strategy declares has to fit; any other may be of any type."""
    if isinstance(row, Rejection):
        return row, context
    strategy, row = context.strategy, canonical(row)
    free = {name: kind for name, kind in strategy.columns.items() if name not in (strategy.declared or {})}
    with suppress(RecursionError):  # it comes again, below
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
    if context.turn:  # of a branch that is done with itself: those that it has become have their own
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
        # The trunk's calls are charged to the first branch, so that a sum over rows is what was spent.
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
                # Begun one by one and not held here any longer: there may be thousands.
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
    """A step's outcome, every way to fail turned into a rejection. Of several, each with its own lineage, if any.

    The watchdog of a worker knows this function by its frame (synth/schedule/watchdog.py)."""
    own = OwnTime(context.step_timeout_s, lambda: context.on_stuck(llm.id, step.name))
    try:
        with own:
            if step.system_prompt is not None:
                llm.system = filled(step.system_prompt, record)
            # A copy, so that a step which changes its record and then fails leaves the record as it came.
            answer = step.function(clean(record), llm)
            outcome: object = await answer if inspect.isawaitable(answer) else answer
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # the run ends
        outcome = _as_rejection(step, error)  # of something that the step itself awaits
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        outcome = _as_rejection(step, error)
    if llm.failure is not None:
        raise llm.failure
    if own.over:
        outcome = timed_out(step.name, context.step_timeout_s)
    if isinstance(outcome, list | tuple):
        branches = [(one.outcome, one.lineage) if isinstance(one, Branch) else (one, None) for one in outcome]
        return [(_checked(one, context), lineage) for one, lineage in branches] or Rejection("nothing_returned")
    return _checked(outcome, context)


def timed_out(step: str, seconds: float | None) -> Rejection:
    why = f"{step} took more than step_timeout_s={seconds:g}, what it waited for the engine left out"
    return Rejection("timeout", why)


def _checked(outcome: object, context: Context) -> Record | Rejection:
    try:
        if isinstance(outcome, dict):
            return checked(outcome, context.strategy.columns, context.foreign)
        if isinstance(outcome, Rejection):
            return outcome if outcome.reason else Rejection("error", "a Rejection has to have a reason")
    except Rejection as unfit:
        return unfit
    except RecursionError:
        return Rejection("error", "the record is nested too deeply")
    kind = type(outcome).__name__
    return Rejection("error", f"returned {kind}: a step returns a record, a list of records, or a Rejection")


def _as_rejection(step: Step, error: BaseException) -> Rejection:
    while isinstance(error, BaseExceptionGroup):  # from calls that a step made side by side
        error = error.exceptions[0]
    if isinstance(error, Rejection):
        return error
    if isinstance(error, EngineError):
        raise error
    log.debug("step %s failed", step.name, exc_info=error)
    frames = list(traceback.extract_tb(error.__traceback__))
    own = getattr(sys.modules.get(module_of_step(step.function)), "__file__", None)
    frames = [frame for frame in frames if frame.filename == own] or frames  # what it calls is of less use
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    said = reason(error) if isinstance(error, ValidationError) else error
    return Rejection("error", f"{type(error).__name__}: {said}{where}")


def _advance(
    before: Record, after: Record, step: Step, ledger: Ledger, noted: bool, context: Context
) -> Record | Rejection:
    """The record after a step, with what follows from the step's changes to the first turn; a rejection where that
    goes round in circles."""
    asked, answered = (before.get(name) != after.get(name) for name in ("instruction", "response"))
    if asked and not noted:
        ledger.trace(step.name, text_of(after, "instruction"), several=len(context.endpoints) > 1)
    words = text_of(after, "instruction") if after.get("response") is None else text_of(after, "response")
    said = ledger.completion(words)
    if (asked or answered) and before.get("finish_reason") == after.get("finish_reason"):
        # The model may have been asked more since: this is about these words.
        after["finish_reason"] = said.finish_reason if said else ledger.finish_reason
    if asked or answered:
        by = said or ledger.last_of(step.name)
        ledger.model = by.model if by else ledger.model
    if answered and "reasoning" in context.strategy.columns and before.get("reasoning") == after.get("reasoning"):
        after["reasoning"] = said.reasoning if said else None
    if answered and "thinking" in context.strategy.columns and before.get("thinking") == after.get("thinking"):
        after["thinking"] = said.thinking if said else None
    if (asked or answered) and before.get("messages") == after.get("messages"):
        after["messages"] = None  # they were those of the old words
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
    told = {"reason": str(rejection.reason), "detail": " ".join(str(rejection.detail).split())[:1000] or None}
    rejected: Record = _row(id, record, ledger, context) | {"rejected_by": by} | clean(told)
    return rejected
