"""Ends a run early when nearly all of its first records are errors: a bug in a step should not cost a night.

The first records are the first to begin, not the first to end: a step that fails at once ends before one that calls a
model. Only rejections with reason `error` count.
"""

from collections import Counter

from synth.records import Finished
from synth.storage.shard import ShardSummary

FIRST = 50
NEARLY_ALL = 0.95
ERRORS = ("error", "poison", "timeout")


class StepsFail(RuntimeError):
    """Nearly all of the first records are errors; the run ends."""


class FirstRows:
    """The same check over committed shards, for runs with few records per worker."""

    def __init__(self) -> None:
        self._rows = self._errors = 0

    def committed(self, summary: ShardSummary) -> bool:
        """Whether nearly all of the first rows are errors."""
        if self._rows >= FIRST:
            return False
        self._rows += summary.kept + summary.rejected
        self._errors += sum(count for name, count in summary.reasons.items() if name.rpartition(": ")[2] in ERRORS)
        return self._rows >= FIRST and self._errors >= NEARLY_ALL * self._rows


class FirstRecords:
    """Call `began` and `finished` for each record of a worker. `finished` raises StepsFail."""

    def __init__(self) -> None:
        self._first: set[int] = set()
        self._unfinished: set[int] = set()
        self._errors = 0
        self._details: Counter[str] = Counter()
        self._failure = ""

    def began(self, number: int) -> None:
        if len(self._first) < FIRST and number not in self._first:
            self._first.add(number)
            self._unfinished.add(number)

    def finished(self, finished: Finished) -> None:
        if self._failure:  # the worker's other shards get the same message
            raise StepsFail(self._failure)
        if finished.number not in self._unfinished:
            return
        self._unfinished.discard(finished.number)
        if finished.kept or any(row["reason"] not in ERRORS for row in finished.rejected):
            return
        self._errors += 1
        self._details.update(f"{row['rejected_by']}: {row['detail'] or row['reason']}" for row in finished.rejected[:1])
        if self._errors >= NEARLY_ALL * FIRST:
            [(commonest, _)] = self._details.most_common(1)
            self._failure = f"{self._errors} of the first {FIRST} records are errors, most of them {commonest}"
            raise StepsFail(self._failure)
