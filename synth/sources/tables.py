"""Reads columnar data: Parquet, Arrow files and streams, and datasets of the Hugging Face library.

Tables are streamed in small pieces, so memory is constant. A row is as `datasets` returns it, except that images and
audio stay bytes. Each reader yields (number, row), counted from 1, with Bad in place of an unusable row. Raises Torn
for duplicate columns, and exceptions of pyarrow and datasets for invalid files.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.records import Record
from synth.sources import Bad, Rows, Torn
from synth.sources.cells import cell, decoder
from synth.sources.remote import Remote

PIECE = 256  # rows


def parquet(path: Path | Remote) -> Rows:
    import pyarrow.parquet

    source = path if isinstance(path, Path) else path.open()
    with pyarrow.parquet.ParquetFile(source, memory_map=True) as file:
        yield from _rows(file.iter_batches(batch_size=PIECE), file.schema_arrow)


def arrow(path: Path | Remote) -> Rows:
    """An Arrow IPC file (Feather), or an Arrow IPC stream."""
    with pa.memory_map(str(path)) if isinstance(path, Path) else pa.PythonFile(path.open(), "r") as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if is_file:
            reader = pa.ipc.open_file(file)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            yield from _rows(batches, reader.schema)
        else:
            stream = pa.ipc.open_stream(file)
            yield from _rows(iter(stream), stream.schema)


def dataset(data: Any) -> Rows:
    """A Dataset or an IterableDataset."""
    before = 0
    for table in data.with_format("arrow").iter(batch_size=PIECE):
        yield from _rows(iter(table.to_batches()), table.schema, before)
        before += len(table)


def _rows(batches: Iterator[pa.RecordBatch], schema: pa.Schema, before: int = 0) -> Rows:
    _refuse_twice(schema.names, "the column")
    for field in schema:
        _refuse_twice_within(field.type, field.name)
    decoders = {field.name: found for field in schema if (found := decoder(field.type))}
    for batch in batches:
        for start in range(0, len(batch), PIECE):
            for number, row in enumerate(_python(batch.slice(start, PIECE)), before + start + 1):
                yield number, row if isinstance(row, Bad) else _decoded(row, decoders)
        before += len(batch)


def _python(piece: pa.RecordBatch) -> Iterator[Record | Bad]:
    """The rows of a piece: all at once, or one by one if one is unreadable."""
    try:
        piece.validate(full=True)
        rows = piece.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError):
        yield from (_row(piece, index) for index in range(len(piece)))
    else:
        yield from rows


def _row(piece: pa.RecordBatch, index: int) -> Record | Bad:
    row = {}
    for name, column in zip(piece.schema.names, piece.columns, strict=True):
        try:
            row[name] = cell(column, index)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            is_utf8 = "UTF8" not in str(error) and not isinstance(error, UnicodeDecodeError)
            return Bad(f"the column {name!r} " + (f"can't be read: {error}" if is_utf8 else "is not UTF-8"))
    return row


def _decoded(row: Record, decoders: dict[str, Callable[[Any], Any]]) -> Record | Bad:
    for name, decode in decoders.items():
        try:
            row[name] = decode(row[name])
        except (ValueError, RecursionError) as error:
            return Bad(f"the column {name!r} has JSON that can't be read: {error}")
    return row


def _refuse_twice(names: list[str], what: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Torn(0, f"has {what} {twice!r} twice")


def _refuse_twice_within(kind: pa.DataType, column: str) -> None:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    inner = [kind.field(index) for index in range(kind.num_fields)]
    if pa.types.is_struct(kind):
        _refuse_twice([field.name for field in inner], f"in the column {column!r} the field")
    for field in inner:
        _refuse_twice_within(field.type, column)
