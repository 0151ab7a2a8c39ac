"""Which record kills its engine: the unfinished records of a shard whose workers died, tried apart from all others.

A process that dies does not say over which of its records. So a shard that two workers were lost over is made by a
third with nothing beside it; when that one dies too, its records are halved, and halves are tried in turn until the one
record stands alone that its engine never survives. At its third death alone it is poison.

Most deaths are nobody's fault: a machine is taken away, a process is killed. So a death counts only when the next
engine, idle, outlives it (`control_s`) and answers a request that is no record's. A single record's must be outlived
ten times over. Where processes are killed at random, at whatever rate, no more than 0.04 of the deaths of a lone record
pass for its own, and 0.00005 of all lone records for poison; a group's never make more groups than they end. A record
that sat beside a poisonous one finishes in one of the halves.

Plain bookkeeping: knows nothing of workers or time.
"""

from collections import Counter
from collections.abc import Collection, Iterable

DEATHS = 3
TIMES_OUTLIVED = 10


class Bisection:
    """Groups of records, lowest numbers first, so that none of them waits for another group's."""

    def __init__(self, numbers: Iterable[int]):
        self._groups = [sorted(numbers)]  # the lowest is the last
        self._deaths: Counter[int] = Counter()  # of records alone
        self._unproven: tuple[float, str] | None = None
        self._error = ""

    @property
    def group(self) -> list[int]:
        """The records to be tried next, without any others; empty when all are through."""
        return self._groups[-1] if self._groups else []

    @property
    def control_s(self) -> float:
        """How long an engine has to live without them before the last death is theirs."""
        seconds = self._unproven[0] if self._unproven else 0.0
        return seconds * (TIMES_OUTLIVED if len(self.group) == 1 else 1)

    @property
    def poison(self) -> str | None:
        """The last error of the group's one record, if it has died often enough."""
        return self._error if len(self.group) == 1 and self._deaths[self.group[0]] >= DEATHS else None

    @property
    def last_chance(self) -> bool:
        """One more death, and the group's one record is poison."""
        return len(self.group) == 1 and self._deaths[self.group[0]] == DEATHS - 1

    def died(self, seconds: float, error: str) -> None:
        """The engine was lost so long after it had been given the group."""
        self._unproven = seconds, error

    def discard_death(self) -> None:
        """The engine was lost without them too: the last death says nothing."""
        self._unproven = None

    def confirm_death(self) -> None:
        """The engine lived without them: the last death, if there was one, is theirs."""
        if self._unproven is None:
            return
        self._error, self._unproven = self._unproven[1], None
        group = self._groups[-1]
        if len(group) == 1:
            self._deaths[group[0]] += 1
        else:
            half = len(group) // 2
            self._groups[-1:] = [group[half:], group[:half]]

    def keep(self, unfinished: Collection[int]) -> None:
        """All others are finished."""
        remaining = ([number for number in group if number in unfinished] for group in self._groups)
        self._groups = [group for group in remaining if group]

    def finished(self) -> None:
        """The group is through."""
        self._groups.pop()
