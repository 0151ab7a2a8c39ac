"""A strategy: a chain of steps, and the road of one record through it.

Promises: whatever a step returns or raises, the record ends as exactly one Finished: rows kept, rows rejected
with a reason, or both after a fan-out. Only a broken engine is let through, because it says nothing of the
record. Branches of a fan-out run side by side and never wait for one another.

Knows nothing of shards, files or machines.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa

from synth.chat import ChatTemplate
from synth.engines import EngineError, Generator
from synth.records import Finished, Record, Rejection, Usage, derive_seed, record_id
from synth.steps.llm import LLM, Ledger

log = logging.getLogger(__name__)

Outcome = Record | Rejection | Sequence[Record | Rejection]
Function = Callable[[Record, LLM], Awaitable[Outcome]]


@dataclass(frozen=True)
class Step:
    """A step's function, the name that seeds and lineage know it by, and the columns it adds (name → type)."""

    name: str
    function: Function
    columns: dict[str, pa.DataType]


@dataclass(frozen=True)
class Strategy:
    """Steps in order. Bound to an engine and a template, it turns record numbers into finished records."""

    name: str
    steps: Sequence[Step]
    declared: dict[str, pa.DataType] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """What the steps add to the contract's columns, by themselves or as declared in the strategy's YAML."""
        return {name: kind for step in self.steps for name, kind in step.columns.items()} | self.declared


@dataclass(frozen=True)
class Context:
    """What every record of a run shares."""

    strategy: Strategy
    engine: Generator
    template: ChatTemplate
    model: str
    seed: int


async def run_record(number: int, row: Record, context: Context) -> Finished:
    """The whole fate of one record. `row` is what the source gave for it.

    Raises EngineError when the engine broke under it; the record is then not finished and may be run again.
    """
    return await _walk(number, (), row, Ledger(), 0, context)


async def _walk(
    number: int, path: tuple[int, ...], record: Record, ledger: Ledger, first: int, context: Context
) -> Finished:
    id = record_id(number, path)
    for index, step in enumerate(context.strategy.steps[first:], first):
        llm = LLM(context.engine, context.template, ledger, context.seed, id, step.name)
        noted = len(ledger.lineage)
        outcome = await _call(step, record, llm)
        if isinstance(outcome, Rejection):
            return Finished(number, rejected=[_rejected_row(id, record, ledger, step, outcome, context)])
        if isinstance(outcome, dict):
            if len(ledger.lineage) == noted and outcome.get("instruction") != record.get("instruction"):
                llm.note(str(outcome.get("instruction")))
            record = _without_stale_messages(record, outcome)
            continue
        return await _fan_out(number, path, record, ledger, index, outcome, context)
    return Finished(number, kept=[_row(id, record, ledger, context)])


async def _fan_out(
    number: int,
    path: tuple[int, ...],
    record: Record,
    ledger: Ledger,
    index: int,
    outcomes: Sequence[Record | Rejection],
    context: Context,
) -> Finished:
    step = context.strategy.steps[index]
    if not outcomes:
        nothing = Rejection("nothing_returned")
        return Finished(
            number, rejected=[_rejected_row(record_id(number, path), record, ledger, step, nothing, context)]
        )

    async def branch(child: int, outcome: Record | Rejection) -> Finished:
        child_path = (*path, child)
        # The trunk's tokens are charged to the first branch, so that a sum over rows is what was spent.
        usage = ledger.usage if child == 0 else Usage()
        own = replace(ledger, usage=usage, lineage=list(ledger.lineage))
        if isinstance(outcome, Rejection):
            row = _rejected_row(record_id(number, child_path), record, own, step, outcome, context)
            return Finished(number, rejected=[row])
        if outcome.get("instruction") != record.get("instruction"):
            own.lineage.append({"step": step.name, "text": str(outcome.get("instruction")), "operation": None})
        return await _walk(
            number, child_path, _without_stale_messages(record, outcome), own, index + 1, context
        )

    parts = await asyncio.gather(*(branch(child, outcome) for child, outcome in enumerate(outcomes)))
    return Finished(
        number,
        kept=[row for part in parts for row in part.kept],
        rejected=[row for part in parts for row in part.rejected],
    )


async def _call(step: Step, record: Record, llm: LLM) -> Outcome:
    """A step's outcome, with every way to fail turned into a rejection."""
    try:
        outcome = await step.function(record, llm)
    except Rejection as rejection:
        return rejection
    except EngineError:
        raise
    except Exception as error:
        log.exception("step %s failed", step.name)
        return Rejection("error", f"{type(error).__name__}: {error}")
    if isinstance(outcome, dict | Rejection):
        return outcome
    if isinstance(outcome, list | tuple) and all(isinstance(one, dict | Rejection) for one in outcome):
        return outcome
    return Rejection(
        "error", f"step {step.name} returned {type(outcome).__name__}: a step returns a record, several, or a Rejection"
    )


def _without_stale_messages(before: Record, after: Record) -> Record:
    """A step that changes the instruction or the response changes the conversation too."""
    first_turn = ("instruction", "response")
    changed = any(before.get(key) != after.get(key) for key in first_turn)
    if changed and after.get("messages") is not None and after["messages"] == before.get("messages"):
        return after | {"messages": None}
    return after


def _row(id: str, record: Record, ledger: Ledger, context: Context) -> Record:
    """The record with the contract's columns filled in, messages from the first turn or the other way round."""
    turns = [("system", "system_prompt"), ("user", "instruction"), ("assistant", "response")]
    row: dict[str, Any] = dict(record)
    if row.get("messages") is None:
        row["messages"] = [
            {"role": role, "content": row[column]} for role, column in turns if row.get(column) is not None
        ]
    for role, column in turns:
        if row.get(column) is None:
            row[column] = next((turn["content"] for turn in row["messages"] if turn["role"] == role), None)
    return row | {
        "id": id,
        "strategy": context.strategy.name,
        "model": context.model,
        "seed": derive_seed(context.seed, id),
        "lineage": ledger.lineage,
        "usage": asdict(ledger.usage),
        "finish_reason": row.get("finish_reason") or ledger.finish_reason,
    }


def _rejected_row(
    id: str, record: Record, ledger: Ledger, step: Step, rejection: Rejection, context: Context
) -> Record:
    row = _row(id, record, ledger, context)
    return row | {"rejected_by": step.name, "reason": rejection.reason, "detail": rejection.detail or None}
