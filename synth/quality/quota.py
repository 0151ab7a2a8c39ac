"""Quotas of strata (synth/strata.py), built on dedup keys (duplicates.py).

A row claims its strata as a key; the finalized rows, in record order, fill the strata. So the result is that of a
single pass, whatever the number of workers and their losses.

Finalization only ever fills strata. So a record whose stratum is full ends at once: before it costs a token, if its
source has the label (`Skipping`). With one column of strata, and no other step that removes rows at finalization, rows
of finished records count before they are finalized, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from synth.quality.duplicates import Index
from synth.records import Place
from synth.strata import FULL, Remaining, Strata, from_key


@dataclass
class Quotas:
    """`duplicates` of the step at the end of the chain. `final` says that a row which arrives there stays."""

    strata: Strata
    final: bool
    reason: ClassVar[str] = FULL
    _made: "QuotaIndex | None" = field(default=None, repr=False, compare=False)

    def index(self) -> Index:
        made, self._made = self._made or QuotaIndex(self.strata, self.final), None
        return made

    def shared(self) -> "QuotaIndex":
        """The index that the next call of `index` returns."""
        self._made = QuotaIndex(self.strata, self.final)
        return self._made


@dataclass
class Skipping:
    """`duplicates` of the step at the beginning: it reads the index of the other step, and adds nothing to it."""

    quotas: Quotas
    reason: ClassVar[str] = FULL

    def index(self) -> Index:
        return SkippingIndex(self.quotas.shared())


class QuotaIndex:
    """Finalized rows are put, looked up and closed. A row that is looked up without being put has arrived, but its
    record is not finalized."""

    def __init__(self, strata: Strata, final: bool):
        self._remaining = Remaining(strata)
        self._filled_by: Place = (0,)  # the last row that was accepted
        self._counts_early = final and len(strata.rows) == 1
        self._finalizing: dict[Place, bytes] = {}
        self._come: dict[str, set[Place]] = {}  # arrived rows by label, if they count before finalization

    def put(self, places: Sequence[Place], keys: Sequence[bytes]) -> None:
        self._finalizing |= zip(places, keys, strict=True)

    def forget(self, place: Place) -> None:
        self._finalizing.pop(place, None)

    def close(self, places: Sequence[Place]) -> None:
        for place in sorted(places):
            if self._remaining.take(from_key(self._finalizing.pop(place))):
                self._filled_by = place
        for come in self._come.values() if places else ():
            finalized = {one for one in come if one[0] <= max(places)[0]}
            come -= finalized

    def lowest(self, places: Sequence[Place], keys: Sequence[bytes]) -> list[Place | None]:
        if all(place in self._finalizing for place in places):
            remaining, found = self._remaining.copy(), {}
            for place, key in sorted(zip(places, keys, strict=True)):
                found[place] = None if remaining.take(from_key(key)) else self._filled_by
            return [found[place] for place in places]
        for place, key in zip(places, keys, strict=True):
            if self._counts_early:
                self._come.setdefault(str(from_key(key)[0]), set()).add(place)
        return [self.full(place, key) for place, key in zip(places, keys, strict=True)]

    def full(self, place: Place, key: bytes) -> Place | None:
        """The place of a row, if the strata have no capacity for another row like it at this place."""
        labels = from_key(key)
        if not self._remaining.has(labels):
            return self._filled_by
        if self._counts_early and labels[0] is not None:
            before = [one for one in self._come.get(labels[0], ()) if one < place]
            if len(before) >= self._remaining.left(labels[0]):
                return min(before)
        return None


class SkippingIndex:
    def __init__(self, quotas: QuotaIndex):
        self._quotas = quotas

    def put(self, places: Sequence[Place], keys: Sequence[bytes]) -> None: ...

    def forget(self, place: Place) -> None: ...

    def close(self, places: Sequence[Place]) -> None: ...

    def lowest(self, places: Sequence[Place], keys: Sequence[bytes]) -> list[Place | None]:
        return [self._quotas.full(place, key) for place, key in zip(places, keys, strict=True)]
