"""The step that enforces a run's strata (synth/strata.py). The key `strata` adds it to the chain twice: at its
beginning, where records whose stratum is full are skipped before they cost anything, and at its end, where rows are
accepted. Don't use it elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from synth.quality.quota import Quotas, Skipping
from synth.records import Record, Rejection
from synth.strata import FULL, Strata, as_key


@dataclass(frozen=True)
class Stratify:
    """Rejects a record as `stratum_full` if one of its strata is full; for some records that is known only when all
    lower records are finished. `known` restricts it to these columns, which come from the source and are never
    changed."""

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
