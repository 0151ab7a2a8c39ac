"""A committed shard: its kept rows and its rejected rows, two files that nobody changes again.

Both are Arrow IPC streams, the form in which a Hugging Face dataset keeps its data files, so that a merge needs to
link them and no more. What a shard holds stands in the file's own schema metadata too: a shard explains itself when
the manifest is older than it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from synth.records import Usage, dataset_schema, rejected_schema
from synth.schedule.plan import Shard
from synth.storage.journal import Journal
from synth.storage.run_folder import RunFolder, whole

_METADATA = b"synth"


@dataclass(frozen=True, kw_only=True)
class ShardSummary:
    """What is in a committed shard. Tokens are of all its records; `wasted_tokens` of those were for rejected rows.

    `reasons` counts rejections by `step: reason`; `checksum` is the BLAKE2b of the file of kept rows.
    """

    index: int
    start: int
    stop: int
    kept: int
    rejected: int
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    wasted_tokens: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    checksum: str = ""


def commit(
    folder: RunFolder, shard: Shard, journal: Journal, columns: Mapping[str, pa.DataType], fingerprint: str
) -> ShardSummary:
    """Write a finished shard from its journal and drop the journal. The rename of the kept rows' file is the commit.

    A shard that is committed already, by a worker that was taken for lost, stays as it is.
    """
    journal.sync()
    there = committed(folder, shard, fingerprint)
    if there is None:
        records = journal.table()
        kept = _rows(records, "kept", dataset_schema(columns))
        rejected = _rows(records, "rejected", rejected_schema(columns))
        summary = _summary(shard, kept, rejected)
        told = {_METADATA: json.dumps(asdict(summary) | {"fingerprint": fingerprint})}
        with whole(folder.rejected(shard.index)) as unfinished:
            write_stream(unfinished, rejected)
        with whole(folder.shard(shard.index)) as unfinished:
            write_stream(unfinished, kept.replace_schema_metadata(told))
        there = committed(folder, shard, fingerprint)
        assert there is not None
    journal.remove()
    return there


def committed(folder: RunFolder, shard: Shard, fingerprint: str) -> ShardSummary | None:
    """What the shard's file says of itself; None where there is none, or one of another run, or it is damaged."""
    path = folder.shard(shard.index)
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
            told = json.loads((reader.schema.metadata or {})[_METADATA])
        if told.pop("fingerprint") != fingerprint:
            return None
        summary = ShardSummary(**told | {"checksum": checksum(path)})
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return None
    return summary if (summary.start, summary.stop) == (shard.start, shard.stop) else None


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def write_stream(path: Path, rows: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=1000)


def _rows(records: pa.Table, column: str, schema: pa.Schema) -> pa.Table:
    """The rows of all records in one table: the lists' structs, unpacked without touching a value."""
    structs = pc.list_flatten(records[column].combine_chunks())
    return pa.Table.from_arrays([pc.struct_field(structs, name) for name in schema.names], schema=schema)


def _summary(shard: Shard, kept: pa.Table, rejected: pa.Table) -> ShardSummary:
    reasons = zip(rejected["rejected_by"].to_pylist(), rejected["reason"].to_pylist(), strict=True)
    tokens = {name: _total(kept, name) + _total(rejected, name) for name in asdict(Usage())}
    return ShardSummary(
        index=shard.index,
        start=shard.start,
        stop=shard.stop,
        kept=len(kept),
        rejected=len(rejected),
        wasted_tokens=_total(rejected, "completion_tokens"),
        reasons=dict(Counter(f"{step}: {reason}" for step, reason in reasons).most_common()),
        prompt_tokens=tokens["prompt_tokens"],
        cached_tokens=tokens["cached_tokens"],
        completion_tokens=tokens["completion_tokens"],
    )


def _total(rows: pa.Table, name: str) -> int:
    return pc.sum(pc.struct_field(rows["usage"], name)).as_py() or 0
