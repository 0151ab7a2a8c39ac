"""Bisection for poison pills: finds the record that kills its engine.

A process that dies does not say which record killed it. After two workers died over a shard, a third runs that shard
alone. If it dies too, the unfinished records are halved and the halves are tried in turn, until one record is left
alone. At its third death alone the record is poison.

Most deaths have other causes: a node is reclaimed, a process is killed. So a death counts only if the next engine,
idle, outlives it (`control_s`) and answers a probe request. For a single record it must live ten times as long. If
processes are killed at random, at any rate, at most 0.04 of the deaths of a single record are blamed on it, and 0.00005
of single records are rejected as poison; groups never split into more groups than they finish. A record that shared a
group with a poisonous one finishes in one of the halves.

Bookkeeping only: no workers, no clock.
"""

from collections import Counter
from collections.abc import Collection, Iterable

DEATHS = 3
TIMES_OUTLIVED = 10


class Bisection:
    """Groups of records, lowest numbers first, so that no group waits for records of another."""

    def __init__(self, numbers: Iterable[int]):
        self._groups = [sorted(numbers)]  # the lowest is the last
        self._deaths: Counter[int] = Counter()  # of records tried alone
        self._unproven: tuple[float, str] | None = None
        self._error = ""

    @property
    def group(self) -> list[int]:
        """The records to try next, alone; empty when all are finished."""
        return self._groups[-1] if self._groups else []

    @property
    def control_s(self) -> float:
        """Seconds an idle engine must live before the last death counts against the group."""
        seconds = self._unproven[0] if self._unproven else 0.0
        return seconds * (TIMES_OUTLIVED if len(self.group) == 1 else 1)

    @property
    def poison(self) -> str | None:
        """The last error of a single record that died often enough, else None."""
        return self._error if len(self.group) == 1 and self._deaths[self.group[0]] >= DEATHS else None

    @property
    def last_chance(self) -> bool:
        """Whether one more death makes the group's single record poison."""
        return len(self.group) == 1 and self._deaths[self.group[0]] == DEATHS - 1

    def died(self, seconds: float, error: str) -> None:
        """The engine was lost `seconds` after it was given the group."""
        self._unproven = seconds, error

    def discard_death(self) -> None:
        """The engine died idle too: the last death does not count."""
        self._unproven = None

    def confirm_death(self) -> None:
        """The idle engine survived: the last death, if there was one, counts against the group."""
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
        """Drop all other records: they are finished."""
        remaining = ([number for number in group if number in unfinished] for group in self._groups)
        self._groups = [group for group in remaining if group]

    def finished(self) -> None:
        """The group is finished."""
        self._groups.pop()
