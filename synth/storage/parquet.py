"""How a dataset is written as Parquet, wherever it goes: exports, pushes and what is published while a run goes on.

Promises: the same rows give the same bytes, however they were divided into shards. Memory holds one group of rows.
"""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_FILE = 100_000
ROWS_PER_GROUP = 5_000
DATA_FILES = "data/train-*.parquet"


def write_parquet(file: IO[bytes], schema: Any, tables: Iterable[Any]) -> None:
    """Write the rows of Arrow tables in groups of ROWS_PER_GROUP. Without rows, the file has no group. Raises OSError
    and pyarrow's errors."""
    # Content-defined chunking, so that the Hub's storage deduplicates unchanged pages.
    with pq.ParquetWriter(file, schema, compression="zstd", use_content_defined_chunking=True) as writer:
        waiting: list[Any] = []
        size = 0
        for table in tables:
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


def tables_of(rows: Any, first: int, stop: int) -> Iterator[Any]:
    """The rows `first` to `stop` - 1 of a dataset in Arrow's format, at most ROWS_PER_GROUP at a time."""
    for start in range(first, stop, ROWS_PER_GROUP):
        yield rows[start : min(start + ROWS_PER_GROUP, stop)]
