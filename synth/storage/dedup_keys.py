"""The dedup keys of a finalized shard and its duplicates: `shards/00000.claims.arrow`.

Written atomically and once, before any worker learns which records are duplicates: later calls, also of resumed runs,
get the same answer. An Arrow IPC stream of one batch with a checksum; its schema names the owner, like a journal's.
"""

from collections.abc import Sequence

import pyarrow as pa

from synth.records import CLAIM, DedupKey, Duplicate, Shard
from synth.storage.append_log import message, read
from synth.storage.journal import owner_of
from synth.storage.run_folder import RunFolder, atomic_write


def write_dedup_keys(
    folder: RunFolder, shard: Shard, fingerprint: str, claims: Sequence[DedupKey], duplicates: Sequence[Duplicate]
) -> None:
    """Raises OSError."""
    found = {(duplicate.step, duplicate.place): duplicate for duplicate in duplicates}
    rows = []
    for claim in claims:
        duplicate = found.get((claim.step, claim.place))
        like, reason = (duplicate.like, duplicate.reason) if duplicate else (None, None)
        rows.append({"step": claim.step, "place": claim.place, "key": claim.key, "like": like, "reason": reason})
    schema = _schema(shard, fingerprint)
    with atomic_write(folder.claims(shard.index)) as unfinished, unfinished.open("wb") as file:
        file.write(schema.serialize())
        file.write(message(pa.RecordBatch.from_pylist(rows, schema)))


def read_dedup_keys(folder: RunFolder, shard: Shard, fingerprint: str) -> tuple[list[DedupKey], list[Duplicate]] | None:
    """None if the file is missing, damaged or of another run."""
    batch = _whole(folder, shard, fingerprint)
    if batch is None:
        return None
    claims, duplicates = [], []
    for row in batch.to_pylist():
        claims.append(DedupKey(row["step"], tuple(row["place"]), row["key"]))
        if row["like"] is not None:
            duplicates.append(Duplicate(row["step"], row["reason"], tuple(row["place"]), tuple(row["like"])))
    return claims, duplicates


def is_finalized(folder: RunFolder, shard: Shard, fingerprint: str) -> bool:
    """Whether `read_dedup_keys` finds something, in at most a tenth of its time: rows are not read."""
    return _whole(folder, shard, fingerprint) is not None


def _whole(folder: RunFolder, shard: Shard, fingerprint: str) -> pa.RecordBatch | None:
    return next(read(folder.claims(shard.index), _schema(shard, fingerprint)), None)


def _schema(shard: Shard, fingerprint: str) -> pa.Schema:
    ends = {"like": pa.list_(pa.int64()), "reason": pa.string()}
    # The keys of a large shard may exceed the offsets of a binary column.
    kinds = {field.name: field.type for field in CLAIM} | {"key": pa.large_binary()} | ends
    return pa.schema(list(kinds.items()), {b"owner": owner_of(shard, fingerprint)})
