"""The step that sees to a run's strata (synth/strata.py). It is put into the chain twice where the key `strata` is set:
at its beginning, where records whose stratum is full are skipped before they cost anything, and at its end, where rows
are taken. It is no use elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from synth.quality.quota import Quotas, Skipping
from synth.records import Record, Rejection
from synth.strata import FULL, Strata, as_key


@dataclass(frozen=True)
class Stratify:
    """Rejects a record, as `stratum_full`, where one of its strata has no room for it; some of them when all lower
    records are finished. With `known`, by these columns alone: those of its source, which no step changes."""

    strata: Strata
    duplicates: Quotas | Skipping
    known: Sequence[str] | None = None

    columns: ClassVar[dict[str, str]] = {}
    rejections: ClassVar[tuple[str, ...]] = (FULL,)

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        labels = self.strata.labels(record, self.known)
        if await llm.dedup.claim(as_key(labels)):
            raise Rejection(FULL, ", ".join(filter(None, labels)))
        return record
