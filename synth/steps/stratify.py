"""The two steps that see to a run's strata (synth/strata.py): one that skips records whose stratum is full, before they
cost anything, and one at the end of the chain, by which the rows are taken.

They are put into the chain where the key `strata` is set, and are no use elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from synth.quality.quota import Quotas, Skipping
from synth.records import Record, Rejection
from synth.strata import FULL, Strata, as_key


@dataclass(frozen=True)
class SkipFull:
    """Rejects a record, as `stratum_full`, whose stratum is known to be full. `known` are the columns that its source
    gives it, which no step changes."""

    strata: Strata
    known: Sequence[str]
    duplicates: Skipping

    columns: ClassVar[dict[str, str]] = {}
    rejections: ClassVar[tuple[str, ...]] = (FULL,)

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        labels = self.strata.labels(record, self.known)
        if await llm.twins.claim(as_key(labels)):
            raise Rejection(FULL, ", ".join(filter(None, labels)))
        return record


@dataclass(frozen=True)
class Stratify:
    """Rejects a row, as `stratum_full`, where one of its strata has no room for it; some of them when all lower records
    are finished."""

    strata: Strata
    duplicates: Quotas

    columns: ClassVar[dict[str, str]] = {}
    rejections: ClassVar[tuple[str, ...]] = (FULL,)

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        labels = self.strata.labels(record)
        if await llm.twins.claim(as_key(labels)):
            raise Rejection(FULL, ", ".join(filter(None, labels)))
        return record
