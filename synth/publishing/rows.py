"""Writes rows of committed shards as one Parquet file.

Promises: the same rows give the same bytes, however they were divided into shards; memory holds one group of rows.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synth.publishing.layout import Part
from synth.storage.parquet import ROWS_PER_GROUP, parquet_writer
from synth.storage.run_folder import RunFolder


def write_rows(folder: RunFolder, parts: Sequence[Part], schema: Any, path: Path) -> str:
    """The file's SHA-256. Without rows it has no row group, which is what `datasets` can stream. Raises OSError and
    pyarrow's errors."""
    import pyarrow as pa

    with path.open("wb") as file, parquet_writer(file, schema) as writer:
        waiting: list[Any] = []
        size = 0
        for table in _tables(folder, parts):
            while len(table):
                taken = table.slice(0, ROWS_PER_GROUP - size)
                table = table.slice(len(taken))
                waiting.append(taken)
                size += len(taken)
                if size == ROWS_PER_GROUP:
                    writer.write_table(pa.concat_tables(waiting).combine_chunks())
                    waiting, size = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
    with path.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


def schema_of(columns: Any) -> Any:
    """The Arrow schema with which `datasets` reads shards that have the schema `columns`."""
    from datasets import Features

    return Features.from_arrow_schema(columns).arrow_schema


def _tables(folder: RunFolder, parts: Sequence[Part]) -> Iterator[Any]:
    """Memory-mapped, some thousand rows at a time."""
    from datasets import Dataset

    for part in parts:
        rows = Dataset.from_file(str(folder.shard(part.shard.index))).with_format("arrow")
        for first in range(part.first, part.stop, ROWS_PER_GROUP):
            yield rows[first : min(first + ROWS_PER_GROUP, part.stop)]
