"""Rows out of columnar data: Parquet, Arrow files and streams, and datasets of Hugging Face's library.

As they are read, tables are cut into small pieces and these into rows, so that memory stays flat.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.records import Record
from synth.sources.remote import Remote

PIECE = 256  # rows


def parquet(path: Path | Remote) -> Iterator[Record]:
    """Raises pyarrow.ArrowException for what is no Parquet file."""
    import pyarrow.parquet

    source = path if isinstance(path, Path) else path.open()
    with pyarrow.parquet.ParquetFile(source, memory_map=True) as file:
        for batch in file.iter_batches(batch_size=PIECE):
            yield from batch.to_pylist()


def arrow(path: Path | Remote) -> Iterator[Record]:
    """An Arrow IPC file, as Feather is, or an Arrow IPC stream. Raises pyarrow.ArrowException for what is neither."""
    with pa.memory_map(str(path)) if isinstance(path, Path) else pa.PythonFile(path.open(), "r") as file:
        try:
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid:
            file.seek(0)
            batches = iter(pa.ipc.open_stream(file))
        else:
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        for batch in batches:
            for start in range(0, len(batch), PIECE):
                yield from batch.slice(start, PIECE).to_pylist()


def dataset(data: Any) -> Iterator[Record]:
    """A Dataset or an IterableDataset. Pictures and sounds stay the bytes that they are."""
    for table in data.with_format("arrow").iter(batch_size=PIECE):
        yield from table.to_pylist()
