"""The unfinished shard: each finished record is one row, appended and synced every few seconds.

An Arrow IPC stream without an end. Its rows are `number`, the record's kept rows and its rejected rows, so a record
is in it whole or not at all. Each batch carries its own checksum; reading stops at the first that is torn or wrong,
and the records after it are made again.

Opening a journal rewrites it under its name: an owner before, if one still lives somewhere, goes on writing into a
file without a name. One thread may `append` while another does the rest.
"""

import logging
import os
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa

from synth.records import Finished, Record, Rejection, dataset_schema, rejected_schema
from synth.storage.run_folder import sync_folder, whole

log = logging.getLogger(__name__)

_CHECKSUM = "crc32"


class Journal:
    """`open` one, `append` finished records, `sync` them to disk, read them back as a `table`.

    `finished` holds the numbers of all records in it; `kept` and `rejected` count their rows.
    """

    def __init__(self, path: Path, schema: pa.Schema):
        self.path = path
        self.finished: set[int] = set()
        self.kept = self.rejected = 0
        self._schema = schema
        self._pending: deque[Finished] = deque()
        self._file: IO[bytes]

    @classmethod
    def open(cls, path: Path, columns: Mapping[str, pa.DataType]) -> "Journal":
        """The journal at `path`, with what an earlier owner left in it. `columns` are those that steps add."""
        journal = cls(path, _schema(columns))
        found = read(path, journal._schema) if path.exists() else []
        for batch in found:
            journal.finished |= set(batch["number"].to_pylist())
            journal.kept += len(batch["kept"].flatten())
            journal.rejected += len(batch["rejected"].flatten())
        with whole(path) as unfinished, unfinished.open("wb") as file:
            file.write(journal._schema.serialize())
            for batch in found:
                file.write(_message(batch))
        journal._file = path.open("ab")
        return journal

    def append(self, finished: Finished) -> None:
        """Take a record down; it is safe after the next `sync`."""
        self.finished.add(finished.number)
        self.kept += len(finished.kept)
        self.rejected += len(finished.rejected)
        self._pending.append(finished)

    def sync(self) -> None:
        """Everything appended so far is on disk. Raises OSError, and then nothing of it is taken for written."""
        pending: list[Finished] = []
        while self._pending:
            pending.append(self._pending.popleft())
        if not pending:
            return
        end = self._file.tell()
        try:
            self._file.write(_message(self._batch(pending)))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._pending.extendleft(reversed(pending))
            self._file.truncate(end)
            raise

    def table(self) -> pa.Table:
        """All synced records in order of their numbers."""
        return pa.Table.from_batches(read(self.path, self._schema), self._schema).sort_by("number")

    def close(self) -> None:
        """Sync and let go of it. Nothing happens when it is closed or removed already."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def remove(self) -> None:
        """The shard is committed: its journal has no more to say."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def _batch(self, records: Sequence[Finished]) -> pa.RecordBatch:
        try:
            return pa.RecordBatch.from_pylist([_row(one) for one in records], self._schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            # Steps are their users' own, and one of them gave a value that its column can't hold: find the record.
            return pa.concat_batches([self._unfit_as_rejection(one) for one in records])

    def _unfit_as_rejection(self, finished: Finished) -> pa.RecordBatch:
        try:
            return pa.RecordBatch.from_pylist([_row(finished)], self._schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            log.warning("record %d can't be written: %s", finished.number, error)
            self.kept -= len(finished.kept)
            self.rejected += 1 - len(finished.rejected)
            why = Rejection("unwritable", " ".join(str(error).split()))
            ids = [str(row["id"]) for row in finished.kept + finished.rejected]
            row = {"id": ids[0], "reason": why.reason, "detail": why.detail, "rejected_by": "journal"}
            return pa.RecordBatch.from_pylist([_row(Finished(finished.number, rejected=[row]))], self._schema)


def read(path: Path, schema: pa.Schema) -> list[pa.RecordBatch]:
    """The batches of a journal up to the first that is torn, damaged, or of other columns."""
    batches: list[pa.RecordBatch] = []
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
            if reader.schema != schema:
                return batches
            while True:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
                if metadata is None or int(metadata[_CHECKSUM.encode()]) != zlib.crc32(batch.serialize()):
                    raise ValueError("wrong checksum")
                batches.append(batch)
    except StopIteration:
        pass
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        log.warning("%s is whole up to its batch %d (%s)", path, len(batches), error)
    return batches


def _schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    kept, rejected = pa.struct(dataset_schema(columns)), pa.struct(rejected_schema(columns))
    return pa.schema([("number", pa.int64()), ("kept", pa.list_(kept)), ("rejected", pa.list_(rejected))])


def _row(finished: Finished) -> Record:
    return {"number": finished.number, "kept": finished.kept, "rejected": finished.rejected}


def _message(batch: pa.RecordBatch) -> bytes:
    """A batch as it stands in a stream, its checksum with it."""
    head = len(batch.schema.serialize())
    sink = pa.BufferOutputStream()
    writer = pa.ipc.new_stream(sink, batch.schema)
    writer.write_batch(batch, {_CHECKSUM: str(zlib.crc32(batch.serialize()))})
    return memoryview(sink.getvalue())[head:].tobytes()
