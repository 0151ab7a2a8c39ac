"""The journal of an unfinished shard: each finished record is one row, appended and synced every few seconds.

A log (append_log.py) with the columns `number`, kept rows, rejected rows, dedup keys, spent tokens and time, and the
number of pool decisions that the record used. So a record is in it as a whole or not at all. Records after a torn or
damaged batch are run again. One thread may call `append` while another calls the rest.

Promises: batches are small, whatever the rows hold. So only a single record, not a shard, is limited by Arrow's 32-bit
offsets or by memory.
"""

import logging
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from synth.records import (
    CLAIM,
    SPENT,
    DedupKey,
    Finished,
    Record,
    Rejection,
    Shard,
    Spent,
    add_spent,
    dataset_schema,
    rejected_schema,
)
from synth.storage.append_log import OWNER, UNFIT, UNREADABLE, AppendLog, owner_in, read, verified
from synth.storage.tally import Tally

log = logging.getLogger(__name__)

BATCH_BYTES = 32 << 20
BATCH_RECORDS = 1000


class Journal:
    """`open` it, `append` finished records, `sync` them to disk, read them back `in_order`.

    `finished` maps the numbers of all its records to their kept rows; `tally` has the totals.
    """

    def __init__(self, path: Path, schema: pa.Schema):
        self.path = path
        self.finished: dict[int, int] = {}
        self.tally = Tally()
        self.schema = schema
        self._made_by = schema.metadata[OWNER].decode().partition(" ")[0]
        self._pending: deque[Finished] = deque()
        self._log: AppendLog

    @classmethod
    def open(
        cls,
        path: Path,
        columns: Mapping[str, pa.DataType],
        owner: str = "",
        decided: int | None = None,
        earlier: Iterable[str] = (),
        again: Collection[str] = (),
    ) -> "Journal":
        """The journal at `path`, with the records of an earlier process. `columns` are those that steps add; `owner` is
        the run and shard. Records that used more than the `decided` first decisions of the pool are dropped: those
        decisions are lost. Records of `earlier` configurations stay, except those whose rejection is retried (`again`,
        see `is_again`). Raises OSError."""
        journal = cls(path, _schema(columns, owner))
        found = owner_in(path)
        accepted = {owner.replace(journal._made_by, one, 1) for one in earlier}
        there = _schema(columns, found) if found in accepted else journal.schema
        journal._log = AppendLog.open(path, journal.schema, journal._taken_over(read(path, there), decided, again))
        return journal

    def _taken_over(
        self, batches: Iterable[pa.RecordBatch], decided: int | None, again: Collection[str]
    ) -> Iterator[pa.RecordBatch]:
        undecided = 0
        for batch in batches:
            if again:
                batch = _without(batch, again, self._made_by)
            if decided is not None:
                read_rows = len(batch)
                batch = batch.filter(pc.less_equal(batch["decided"], decided))
                undecided += read_rows - len(batch)
            kept = pc.list_value_length(batch["kept"]).to_pylist()
            self.finished.update(zip(batch["number"].to_pylist(), kept, strict=True))
            self.tally.add_batch(batch)
            yield batch
        if undecided:
            log.warning("%s: %d records used lost decisions of pool.jsonl and are run again",
                        self.path, undecided)  # fmt: skip

    def append(self, finished: Finished) -> None:
        """Add a record; it is on disk after the next `sync`."""
        self.finished[finished.number] = len(finished.kept)
        self.tally.add(len(finished.kept), finished.rejected)
        self._pending.append(finished)

    def sync(self) -> None:
        """Write everything appended so far to disk. Raises OSError, in which case none of it counts as written."""
        pending: list[Finished] = []
        while self._pending:
            pending.append(self._pending.popleft())
        if not pending:
            return
        starts = range(0, len(pending), BATCH_RECORDS)
        try:
            self._log.append(
                batch for start in starts for batch in self._batches(pending[start : start + BATCH_RECORDS])
            )
        except BaseException:
            self._pending.extendleft(reversed(pending))
            raise

    def in_order(self) -> Iterator[pa.RecordBatch]:
        """All synced records in the order of their numbers, in small batches.

        Raises OSError if another process has opened the journal since, or if a part of it can't be read.
        """
        batches, numbers = self._synced()
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        if numbers and sum(batch.nbytes for batch in batches) <= BATCH_BYTES:
            yield pa.concat_batches(batches).take(pa.array(order))
            return
        records = [record for batch in batches for record in _rows(batch)]
        yield from _small(records[place] for place in order)

    def claims(self) -> list[DedupKey]:
        """The dedup keys of all its records. Raises OSError like `in_order`, or if they can't be synced."""
        self.sync()
        batches, _ = self._synced()  # neither order nor rows matter here
        found = [one for batch in batches for one in batch["claims"].flatten().to_pylist()]
        claims = [DedupKey(claim["step"], tuple(claim["place"]), claim["key"]) for claim in found]
        return sorted(claims, key=lambda claim: claim.place[0])

    def _synced(self) -> tuple[list[pa.RecordBatch], list[int]]:
        """Everything on disk, and the record numbers. Raises OSError like `in_order`."""
        batches = list(read(self.path, self.schema))
        numbers = [number for batch in batches for number in batch["number"].to_pylist()]
        self.refuse_other_owner()
        if len(numbers) != len(self.finished) - len(self._pending):
            raise OSError(f"{self.path} is damaged: {len(numbers)} of {len(self.finished)} records are readable")
        return batches, numbers

    def refuse_other_owner(self) -> None:
        """Raises OSError if another process has opened it since."""
        self._log.refuse_other_owner()

    def close(self) -> None:
        """Sync and close. Does nothing if it is closed or removed."""
        if self._log.is_open:
            self.sync()
            self._log.close()

    def remove(self) -> None:
        """Delete the file: the shard is committed."""
        self._log.remove()

    def _batches(self, records: Sequence[Finished]) -> Iterator[pa.RecordBatch]:
        """One batch, or several if it would be too large or a record does not fit."""
        try:
            batch = pa.RecordBatch.from_pylist([_row(record, self._made_by) for record in records], self.schema)
        except UNFIT as error:
            # Beyond Arrow's offsets, or a user's step returned a value that the column can't hold.
            if len(records) == 1:
                yield self._unfit_as_rejection(records[0], error)
            else:
                half = len(records) // 2
                yield from self._batches(records[:half])
                yield from self._batches(records[half:])
        else:
            yield from [batch] if batch.nbytes <= BATCH_BYTES else _small(_rows(batch))

    def _unfit_as_rejection(self, finished: Finished, error: Exception) -> pa.RecordBatch:
        log.warning("cannot store record %d, it is rejected: %r", finished.number, error)
        why = Rejection("unwritable", " ".join(str(error).split()))
        ids = [str(row["id"]) for row in finished.kept + finished.rejected]
        row = {"id": ids[0], "reason": why.reason, "detail": why.detail, "rejected_by": "journal"}
        self.tally.replace(finished, [row])
        self.finished[finished.number] = 0
        spent: dict[str, Spent] = {}
        for steps in finished.spent.values():
            add_spent(spent, steps)
        noted = replace(finished, kept=[], rejected=[row], spent={ids[0]: spent})
        return pa.RecordBatch.from_pylist([_row(noted, self._made_by)], self.schema)


def finished_numbers(path: Path, owner: str | None = None) -> set[int]:
    """The records in a journal, which another process may be writing; none if it has another owner."""
    numbers: set[int] = set()
    if owner is None or owner_in(path) == owner:
        with suppress(*UNREADABLE):
            for batch in verified(path, None):
                numbers.update(batch["number"].to_pylist())
    return numbers


def tally_of(path: Path, owners: Collection[str]) -> Tally:
    """The totals of a journal of one of these owners, which another process may be writing."""
    tally = Tally()
    if owner_in(path) in owners:
        with suppress(*UNREADABLE):
            for batch in verified(path, None):
                tally.add_batch(batch)
    return tally


def owner_of(shard: Shard, fingerprint: str) -> str:
    """The owner of a shard's journal, for `Journal.open`."""
    return f"{fingerprint} {shard.start} {shard.stop}"


def _schema(columns: Mapping[str, pa.DataType], owner: str) -> pa.Schema:
    kept, rejected = pa.struct(dataset_schema(columns)), pa.struct(rejected_schema(columns))
    lists = {"kept": kept, "rejected": rejected, "claims": CLAIM, "spent": SPENT}
    fields = {"number": pa.int64()} | {name: pa.list_(kind) for name, kind in lists.items()}
    fields |= {"decided": pa.int64(), "made_by": pa.string()}
    return pa.schema(list(fields.items()), {OWNER: owner})


def _row(finished: Finished, made_by: str) -> Record:
    claims = [{"step": claim.step, "place": claim.place, "key": claim.key} for claim in finished.claims]
    spent = [
        {"id": id, "step": step} | one._asdict() for id, steps in finished.spent.items() for step, one in steps.items()
    ]
    rows = {"kept": finished.kept, "rejected": finished.rejected}
    versions = {"decided": finished.decided, "made_by": finished.made_by or made_by}
    return {"number": finished.number, **rows, "claims": claims, "spent": spent, **versions}


def is_again(again: Collection[str], step: str, reason: str) -> bool:
    """Whether a rejection is retried: by `error`, or by `judge: error` for one step."""
    return reason in again or f"{step}: {reason}" in again


def _without(batch: pa.RecordBatch, again: Collection[str], made_by: str) -> pa.RecordBatch:
    """Without the records to run again; records of the current configuration have been already."""
    keep = [
        one == made_by or not any(is_again(again, row["rejected_by"], row["reason"]) for row in rejected)
        for one, rejected in zip(batch["made_by"].to_pylist(), batch["rejected"].to_pylist(), strict=True)
    ]
    return batch.filter(pa.array(keep, pa.bool_()))


def _rows(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    return (batch.slice(row, 1) for row in range(len(batch)))


def _small(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most BATCH_BYTES, or of one row."""
    group: list[pa.RecordBatch] = []
    total = 0
    for row in rows:
        total += row.nbytes
        if group and (total > BATCH_BYTES or len(group) == BATCH_RECORDS):
            yield pa.concat_batches(group)
            group, total = [], row.nbytes
        group.append(row)
    if group:
        yield pa.concat_batches(group)
