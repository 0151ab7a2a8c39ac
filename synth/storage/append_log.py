"""A file that grows: an Arrow IPC stream without an end, each batch with a checksum of its own.

Reading stops at the first batch that is torn or wrong. The stream's head says whose it is: one of another owner is read
as if it were empty.

Opening a log rewrites it under its name: an owner before, if one still lives somewhere, goes on writing into a file
without a name.
"""

import logging
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from synth.storage.run_folder import atomic_write, sync_folder

log = logging.getLogger(__name__)

UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError)
UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)  # what Arrow raises for what a column can't hold
OWNER = b"owner"  # of a schema's metadata

_CHECKSUM = "crc32"


class AppendLog:
    """`open` one, `append` batches, `close` it or `remove` it."""

    def __init__(self, path: Path):
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._end = os.fstat(self._file).st_size

    @classmethod
    def open(cls, path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch] = ()) -> "AppendLog":
        """The log at `path`, with these batches in it in place of what was there. Raises OSError."""
        with atomic_write(path) as unfinished, unfinished.open("wb") as file:
            file.write(schema.serialize())
            for batch in batches:
                file.write(message(batch))
        return cls(path)

    def append(self, batches: Iterable[pa.RecordBatch]) -> None:
        """They are on disk. Raises OSError, or what `batches` raises, and then nothing of them is written."""
        written = 0
        try:
            for batch in batches:
                written += self._write(message(batch))
            os.fsync(self._file)
        except BaseException:
            os.ftruncate(self._file, self._end)
            raise
        self._end += written

    def _write(self, message: bytes) -> int:
        left = memoryview(message)
        while left:  # a full disk takes a part and refuses the rest
            left = left[os.write(self._file, left) :]
        return len(message)

    def refuse_other_owner(self) -> None:
        """Raises OSError when another process has opened it since."""
        with self.path.open("rb") as named:  # over NFS, only who opens a file hears from the server which one it is
            is_own = os.path.samestat(os.fstat(self._file), os.fstat(named.fileno()))
        if not is_own:
            raise OSError(f"{self.path} was taken over by another worker")

    @property
    def is_open(self) -> bool:
        return self._file >= 0

    def close(self) -> None:
        if self.is_open:
            os.close(self._file)
            self._file = -1

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)


def read(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches of a log up to the first that is torn, damaged, or of another owner; mapped, not read."""
    count = 0
    try:
        for batch in verified(path, schema):
            count += 1
            yield batch
    except UNREADABLE as error:
        log.warning("%s is whole up to its batch %d (%s)", path, count, error)


def verified(path: Path, schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    """The same, whoever's it is where no schema is given. Raises what is UNREADABLE at the first that is torn or
    damaged, or another owner's."""
    if not path.exists():
        return
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        if schema is not None and not reader.schema.equals(schema, check_metadata=True):
            raise ValueError("it is of another run, or has other columns")
        with suppress(StopIteration):
            while True:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
                batch.validate(full=True)  # lengths and offsets that are damaged would end this process
                if metadata is None or int(metadata[_CHECKSUM.encode()]) != zlib.crc32(batch.serialize()):
                    raise ValueError("wrong checksum")
                yield batch


def message(batch: pa.RecordBatch) -> bytes:
    """A batch as it stands in a stream, its checksum with it."""
    head = len(batch.schema.serialize())
    sink = pa.BufferOutputStream()
    writer = pa.ipc.new_stream(sink, batch.schema)
    writer.write_batch(batch, {_CHECKSUM: str(zlib.crc32(batch.serialize()))})
    return memoryview(sink.getvalue())[head:].tobytes()


def owner_in(path: Path) -> str | None:
    """Whose a log is; None where it does not say so."""
    try:
        with pa.OSFile(str(path), "rb") as file:
            return str(pa.ipc.open_stream(file).schema.metadata[OWNER].decode())
    except (*UNREADABLE, TypeError):
        return None
