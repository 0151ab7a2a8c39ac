"""Writes rows of committed shards as one Parquet file, as an export would (synth/storage/parquet.py)."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synth.publishing.layout import Part
from synth.storage.parquet import tables_of, write_parquet
from synth.storage.run_folder import RunFolder


def write_rows(folder: RunFolder, parts: Sequence[Part], schema: Any, path: Path) -> str:
    """The file's SHA-256. Without rows it has no row group, which is what `datasets` can stream. Raises OSError and
    pyarrow's errors."""
    with path.open("wb") as file:
        write_parquet(file, schema, _tables(folder, parts))
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
        yield from tables_of(rows, part.first, part.stop)
