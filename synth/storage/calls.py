"""Finished calls of a shard's unfinished records: `shards/00000.calls.arrow`, beside its journal.

A call is found by a key over everything that was sent, so only an identical call gets its answer. A call that is lost,
torn or damaged is simply made again.

A log (append_log.py), created at the first write. Its schema names the owner; the right to write goes with the shard's
journal.
"""

import logging
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from synth.records import Record
from synth.storage.append_log import OWNER, UNFIT, AppendLog, read
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary

log = logging.getLogger(__name__)

BATCH_CALLS = 100

_ANSWER = {
    "token_ids": pa.list_(pa.int32()),
    "finish_reason": pa.string(),
    "prompt_tokens": pa.int64(),
    "cached_tokens": pa.int64(),
    "text": pa.string(),
    "engine_seconds": pa.float64(),
    "logprob": pa.float64(),
    "counted": pa.int64(),
    "reasoning": pa.string(),
    "withheld": pa.string(),
    "too_long": pa.string(),
}
ANSWER = tuple(_ANSWER)


class Call(NamedTuple):
    """A call of record `number`: the key of what was sent, and the fields of its `answer`.

    Without a finish_reason it is a piece of a partial answer, from token `counted` on.
    """

    number: int
    key: bytes
    answer: Record


class CallJournal:
    """`take` a record's calls from an earlier process, `append` new ones. `may_write` raises OSError if another worker
    has taken over the shard."""

    def __init__(self, path: Path, owner: str, may_write: Callable[[], None]):
        self.path = path
        self._schema = pa.schema([("number", pa.int64()), ("key", pa.binary()), *_ANSWER.items()], {OWNER: owner})
        self._may_write = may_write
        self._known: dict[int, dict[bytes, Record]] = {}
        self._log: AppendLog | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        owner: str,
        finished: Collection[int] = (),
        may_write: Callable[[], None] = lambda: None,
        keeps: bool = False,
    ) -> "CallJournal":
        """The calls at `path`. Those of `finished` records are dropped unless `keeps`. Raises OSError."""
        journal = cls(path, owner, may_write)
        if path.exists():
            journal._log = AppendLog.open(path, journal._schema, journal._taken_over(finished, keeps))
        return journal

    @classmethod
    def kept(cls, path: Path, owner: str, records: range) -> "CallJournal":
        """The calls of `records` in another run's file at `path`, which is not changed."""
        journal = cls(path, owner, lambda: None)
        for batch in read(path, journal._schema):
            within = pc.and_(pc.greater_equal(batch["number"], records.start), pc.less(batch["number"], records.stop))
            journal._know_all(batch.filter(within))
        return journal

    def _taken_over(self, finished: Collection[int], keeps: bool) -> Iterator[pa.RecordBatch]:
        for batch in read(self.path, self._schema):
            done = pc.is_in(batch["number"], pa.array(sorted(finished), pa.int64()))
            unfinished = batch.filter(pc.invert(done))
            self._know_all(unfinished)
            if len(batch if keeps else unfinished):
                yield batch if keeps else unfinished

    def _know_all(self, batch: pa.RecordBatch) -> None:
        token_ids = batch["token_ids"]
        for place, row in enumerate(batch.drop_columns(["token_ids"]).to_pylist()):
            number, key = row.pop("number"), row.pop("key")
            # A list of Python integers takes eight times the memory.
            row["token_ids"] = array("i", token_ids[place].values.to_numpy(zero_copy_only=False).tobytes())
            self._know(number, key, row)

    def _know(self, number: int, key: bytes, row: Record) -> None:
        """The next piece of a partial answer is appended to the pieces before; a piece with a gap before is dropped."""
        known = self._known.setdefault(number, {})
        before = known.get(key)
        if row["finish_reason"] is not None or row["counted"] == 0:
            known[key] = row
        elif before and before["finish_reason"] is None and len(before["token_ids"]) == row["counted"]:
            before["token_ids"].extend(row["token_ids"])

    def take(self, number: int) -> dict[bytes, Record]:
        """Remove and return a record's calls by key; the pieces of a partial answer are joined."""
        return self._known.pop(number, {})

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls to disk, except those that Arrow can't hold. Raises OSError."""
        if not calls:
            return
        if self._log is None:
            self._may_write()  # a former owner of the shard must not replace its file
            self._log = AppendLog.open(self.path, self._schema)
        starts = range(0, len(calls), BATCH_CALLS)
        self._log.append(batch for start in starts for batch in self._batches(calls[start : start + BATCH_CALLS]))

    def _batches(self, calls: Sequence[Call]) -> Iterator[pa.RecordBatch]:
        rows: Iterable[Record] = ({"number": call.number, "key": call.key} | call.answer for call in calls)
        try:
            yield pa.RecordBatch.from_pylist(list(rows), self._schema)
        except UNFIT as error:
            if len(calls) == 1:
                log.warning("cannot store a call of record %d: %r", calls[0].number, error)
                return
            half = len(calls) // 2
            yield from self._batches(calls[:half])
            yield from self._batches(calls[half:])

    def close(self) -> None:
        if self._log is not None:
            self._log.close()


def drop_calls(folder: RunFolder, summary: ShardSummary, keeps: bool) -> None:
    """Delete the calls of a committed shard, whose rows have their answers. They stay if it was committed short, and so
    may be continued, and if the run `keeps` them for another one."""
    if summary.planned_stop is None and not keeps:
        folder.calls(summary.index).unlink(missing_ok=True)
