"""An append-only log: an Arrow IPC stream without an end, in which each batch has its own checksum.

Reading stops at the first torn or damaged batch. The stream's schema names its owner; a log of another owner reads as
empty.

Opening a log replaces the file under its name: a former owner that is still alive goes on writing into an unlinked
file.
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
UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)  # raised by Arrow for values a column can't hold
OWNER = b"owner"  # key in the schema's metadata

_CHECKSUM = "crc32"


class AppendLog:
    """`open` it, `append` batches, `close` or `remove` it."""

    def __init__(self, path: Path):
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._end = os.fstat(self._file).st_size

    @classmethod
    def open(cls, path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch] = ()) -> "AppendLog":
        """A new log at `path` with these batches, in place of the old file. Raises OSError."""
        with atomic_write(path) as unfinished, unfinished.open("wb") as file:
            file.write(schema.serialize())
            for batch in batches:
                file.write(message(batch))
        return cls(path)

    def append(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Append and sync to disk. Raises OSError, or exceptions of `batches`, in which case nothing is written."""
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
        while left:  # a disk that is nearly full takes a part and refuses the rest
            left = left[os.write(self._file, left) :]
        return len(message)

    def refuse_other_owner(self) -> None:
        """Raises OSError if another process has opened the log since."""
        with self.path.open("rb") as named:  # over NFS, only an open asks the server which file has this name
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
    """The batches up to the first that is torn or damaged; none of another owner. Memory-mapped."""
    count = 0
    try:
        for batch in verified(path, schema):
            count += 1
            yield batch
    except UNREADABLE as error:
        log.warning("%s is readable up to batch %d only (%s)", path, count, error)


def verified(path: Path, schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    """The same, of any owner if no schema is given. Raises one of UNREADABLE at the first torn or damaged batch, or for
    another owner."""
    if not path.exists():
        return
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        if schema is not None and not reader.schema.equals(schema, check_metadata=True):
            raise ValueError("it belongs to another run, or has other columns")
        with suppress(StopIteration):
            while True:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
                batch.validate(full=True)  # damaged lengths and offsets would crash the process
                if metadata is None or int(metadata[_CHECKSUM.encode()]) != zlib.crc32(batch.serialize()):
                    raise ValueError("wrong checksum")
                yield batch


def message(batch: pa.RecordBatch) -> bytes:
    """A batch as a message of a stream, with its checksum."""
    head = len(batch.schema.serialize())
    sink = pa.BufferOutputStream()
    writer = pa.ipc.new_stream(sink, batch.schema)
    writer.write_batch(batch, {_CHECKSUM: str(zlib.crc32(batch.serialize()))})
    return memoryview(sink.getvalue())[head:].tobytes()


def owner_in(path: Path) -> str | None:
    """The owner of a log; None if it names none."""
    try:
        with pa.OSFile(str(path), "rb") as file:
            return str(pa.ipc.open_stream(file).schema.metadata[OWNER].decode())
    except (*UNREADABLE, TypeError):
        return None
