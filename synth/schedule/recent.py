"""The yield of the last committed shards: an estimate for the next ones when the wanted records change during a run
(strata)."""

from collections import deque

ENOUGH = 200  # records in the window
SKIPPED = 100_000  # records skipped in a row, without a kept one, before the run is hopeless


class Window:
    """The last shards with at least ENOUGH records together, and their kept rows."""

    def __init__(self) -> None:
        self._shards: deque[tuple[int, int]] = deque()
        self.records = self.kept = 0

    def add(self, records: int, kept: int) -> None:
        if not records:
            return
        self._shards.append((records, kept))
        self.records, self.kept = self.records + records, self.kept + kept
        while self.records - self._shards[0][0] >= ENOUGH:
            records, kept = self._shards.popleft()
            self.records, self.kept = self.records - records, self.kept - kept


class Recent:
    """`records` of the last shards and their `kept` rows. Skipped records cost nothing, so they do not count for the
    minimal yield."""

    def __init__(self) -> None:
        self._all, self._made = Window(), Window()
        self._in_vain = 0  # records skipped since the last kept one

    @property
    def records(self) -> int:
        return self._all.records

    @property
    def kept(self) -> int:
        return self._all.kept

    def add(self, records: int, kept: int, skipped: int) -> None:
        self._all.add(records, kept)
        self._made.add(records - skipped, kept)
        self._in_vain = 0 if kept else self._in_vain + skipped

    def gives_too_few(self, min_yield: float) -> bool:
        """Whether the run is hopeless."""
        too_few = self._made.records >= ENOUGH and self._made.kept < min_yield * self._made.records
        return too_few or self._in_vain >= SKIPPED
