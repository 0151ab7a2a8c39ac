"""Statistics of a run's rows: counts, lengths, labels, scores, and tokens by outcome.

One pass over the kept rows and one over the rejected ones, by column, with a few bytes of memory per row. Lengths are
in characters, because token counts of texts are not stored.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.records import CONTRACT_COLUMNS, Spent, Usage, add_spent
from synth.report.run_data import Run

TEXTS = ("instruction", "response")
MOST_LABELS, LONGEST_LABEL = 40, 40  # a column with more values, or longer ones, holds texts, not labels


@dataclass(frozen=True)
class Cost:
    """Rows and their tokens."""

    rows: int = 0
    usage: Usage = field(default_factory=Usage)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.rows + other.rows, self.usage + other.usage)


@dataclass
class Figures:
    """`rejected` is by (step, reason), in the order of the steps; `lengths` and `numbers` have a value per kept row
    that has one; `labels` count a column's values, null as None. `distinct` is the number of distinct instructions.
    `spent` is the usage of calls, by `kept` or `step: reason` and by step."""

    kept: Cost
    rejected: dict[tuple[str, str], Cost]
    lengths: dict[str, np.ndarray]
    labels: dict[str, Counter[str | None]]
    numbers: dict[str, np.ndarray]
    turns: Counter[str | None]
    operations: Counter[str | None]
    distinct: int
    spent: dict[str, dict[str, Spent]]

    @property
    def wasted(self) -> Cost:
        """All rejected rows."""
        return sum(self.rejected.values(), Cost())

    @property
    def total(self) -> Cost:
        return self.kept + self.wasted

    def spent_on(self, end: str | None = None) -> Spent:
        """The usage of all calls for rows with this outcome, or for all rows."""
        chosen = self.spent.values() if end is None else [self.spent.get(end, {})]
        return sum((step for steps in chosen for step in steps.values()), Spent())

    def spent_at(self, steps: Sequence[str]) -> dict[str, tuple[Spent, Spent]]:
        """For kept and for rejected rows, by step, in this order."""
        kept = self.spent.get("kept", {})
        lost: dict[str, Spent] = {}
        for end in self.spent.keys() - {"kept"}:
            add_spent(lost, self.spent[end])
        names = dict.fromkeys([*(name for name in steps if name in kept or name in lost), *kept, *lost])
        return {name: (kept.get(name, Spent()), lost.get(name, Spent())) for name in names}


def measure(run: Run) -> Figures:
    """Raises Unreadable."""
    usage = Usage()
    lengths: dict[str, list[np.ndarray]] = {name: [] for name in TEXTS}
    numbers: dict[str, list[np.ndarray]] = {}
    labels: dict[str, Counter[str | None] | None] = {}
    turns: Counter[str | None] = Counter()
    operations: Counter[str | None] = Counter()
    seen: list[np.ndarray] = []  # hashes of instructions
    for batch in run.batches("kept"):
        usage += _usage(batch)
        for name in TEXTS:
            lengths[name].append(_numpy(pc.utf8_length(batch[name])))
        seen.append(np.unique(np.fromiter(map(hash, batch["instruction"].to_pylist()), np.int64, len(batch))))
        turns.update(_counted(pc.fill_null(pc.list_value_length(batch["messages"]), 0).cast(pa.string())))
        operations.update(_counted(pc.drop_null(pc.struct_field(pc.list_flatten(batch["lineage"]), "operation"))))
        for column in batch.schema:
            if column.name in CONTRACT_COLUMNS and column.name != "finish_reason":
                continue
            if pa.types.is_string(column.type) or pa.types.is_boolean(column.type):
                _count_labels(labels, column.name, batch[column.name])
            elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                numbers.setdefault(column.name, []).append(_numpy(batch[column.name]))
    return Figures(
        kept=Cost(run.counts["kept"], usage),
        rejected=_rejected(run),
        lengths={name: _joined(parts) for name, parts in lengths.items()},
        labels={name: counts for name, counts in labels.items() if counts and set(counts) != {None}},
        numbers={name: joined for name, parts in numbers.items() if len(joined := _joined(parts))},
        turns=turns,
        operations=operations,
        distinct=len(np.unique(_joined(seen))),
        spent=run.manifest.spent,
    )


def _rejected(run: Run) -> dict[tuple[str, str], Cost]:
    costs: dict[tuple[str, str], Cost] = {}
    names = [one.name for one in fields(Usage)]
    for batch in run.batches("rejected"):
        counted = {name: pc.struct_field(batch["usage"], name) for name in names}
        ends = pa.table({"step": batch["rejected_by"], "reason": batch["reason"], **counted})
        sums = ends.group_by(["step", "reason"]).aggregate([([], "count_all"), *((name, "sum") for name in names)])
        for group in sums.to_pylist():
            key = (group["step"] or "", group["reason"] or "")
            spent = Usage(**{name: group[f"{name}_sum"] or 0 for name in names})
            costs[key] = costs.get(key, Cost()) + Cost(group["count_all"], spent)
    order = {name: place for place, name in enumerate(["source", *run.steps])}
    return dict(sorted(costs.items(), key=lambda one: (order.get(one[0][0], len(order)), one[0][0], -one[1].rows)))


def _count_labels(labels: dict[str, Counter[str | None] | None], name: str, values: pa.Array) -> None:
    """A column with too many values gets None instead of counts."""
    counts = labels.setdefault(name, Counter())
    if counts is not None:
        counts.update(_counted(values.cast(pa.string()) if pa.types.is_boolean(values.type) else values))
        if len(counts) > MOST_LABELS or any(label and len(label) > LONGEST_LABEL for label in counts):
            labels[name] = None


def _counted(values: pa.Array) -> Mapping[str | None, int]:
    return {one["values"]: one["counts"] for one in pc.value_counts(values).to_pylist()}


def _usage(batch: pa.RecordBatch) -> Usage:
    sums = {one.name: pc.sum(pc.struct_field(batch["usage"], one.name)).as_py() or 0 for one in fields(Usage)}
    return Usage(**sums)


def _numpy(values: pa.Array) -> np.ndarray:
    found = pc.drop_null(values).to_numpy(zero_copy_only=False)
    return np.asarray(found[np.isfinite(found)])


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)


def flat(counts: Mapping[tuple[str, str], Cost]) -> list[tuple[str, str, Cost]]:
    """Rejections, the most expensive first."""
    rows = ((step, reason, cost) for (step, reason), cost in counts.items())
    return sorted(rows, key=lambda one: (-one[2].usage.completion_tokens, -one[2].rows))
