"""Totals of finished records: their number, kept rows, rejected rows, and reasons."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth.records import Finished


@dataclass
class Tally:
    """`reasons` counts rejected rows by `step: reason`."""

    records: int = 0
    kept: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, kept: int, rejected: Sequence[Mapping[str, Any]]) -> None:
        """Add a finished record with so many kept rows and these rejected rows."""
        self.records += 1
        self.kept += kept
        for row in rejected:
            self.rejected += 1
            self.reasons[f"{row['rejected_by']}: {row['reason']}"] += 1

    def replace(self, finished: Finished, rejected: Sequence[Mapping[str, Any]]) -> None:
        """A record that was added has only these rejected rows."""
        self.records -= 1
        self.kept -= len(finished.kept)
        self.rejected -= len(finished.rejected)
        self.reasons.subtract(f"{row['rejected_by']}: {row['reason']}" for row in finished.rejected)
        self.add(0, rejected)

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Add the finished records of a journal's batch."""
        self.records += len(batch)
        self.kept += len(batch["kept"].flatten())
        rejected = batch["rejected"].flatten()
        self.rejected += len(rejected)
        names = zip(*(pc.struct_field(rejected, name).to_pylist() for name in ("rejected_by", "reason")), strict=True)
        self.reasons.update(f"{step}: {reason}" for step, reason in names)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.records + other.records,
            self.kept + other.kept,
            self.rejected + other.rejected,
            self.reasons + other.reasons,
        )
