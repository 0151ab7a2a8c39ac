"""How a dataset is written as Parquet, wherever it goes: exports, pushes and what is published while a run goes on."""

from typing import IO, Any

import pyarrow.parquet as pq

ROWS_PER_FILE = 100_000
ROWS_PER_GROUP = 5_000
DATA_FILES = "data/train-*.parquet"


def parquet_writer(file: IO[bytes], schema: Any) -> pq.ParquetWriter:
    """Content-defined chunking, so that the Hub's storage deduplicates unchanged pages."""
    return pq.ParquetWriter(file, schema, compression="zstd", use_content_defined_chunking=True)
