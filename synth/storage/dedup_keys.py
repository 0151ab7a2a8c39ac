"""What the records of a shard claimed, and which lower record each claim was like: `shards/00000.claims.arrow`.

Written once, whole or not at all, before anybody hears which records of the shard are duplicates: whoever asks again,
in this run or a later one, is told the same. An Arrow IPC stream of one batch with its checksum; its head says whose
it is, as a journal's does.
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
    found = {(one.step, one.place): one for one in duplicates}
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
    """None where there is none, or it is damaged or of another run."""
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
    """Whether `read_dedup_keys` finds something. Takes a tenth of the time or less: its rows are not looked at."""
    return _whole(folder, shard, fingerprint) is not None


def _whole(folder: RunFolder, shard: Shard, fingerprint: str) -> pa.RecordBatch | None:
    return next(read(folder.claims(shard.index), _schema(shard, fingerprint)), None)


def _schema(shard: Shard, fingerprint: str) -> pa.Schema:
    ends = {"like": pa.list_(pa.int64()), "reason": pa.string()}
    # Keys of a large shard may be more than a binary column's offsets reach.
    kinds = {field.name: field.type for field in CLAIM} | {"key": pa.large_binary()} | ends
    return pa.schema(list(kinds.items()), {b"owner": owner_of(shard, fingerprint)})
