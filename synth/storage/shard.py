"""A committed shard: two immutable files, kept rows and rejected rows, and a note about them.

Both files are Arrow IPC streams, the format of a Hugging Face dataset's data files, so that a merge only links them.
The note names run and records and has the files' checksums: a shard can be read without the manifest, and damage is
detected.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth.records import Duplicate, Shard, Spent, Usage, add_spent, as_place, as_read, dataset_schema, rejected_schema
from synth.storage.journal import Journal, is_again
from synth.storage.run_folder import RunFolder, atomic_write
from synth.storage.sealed import Damaged, read_sealed, write_sealed
from synth.strata import FULL, SKIP, Strata

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ShardSummary:
    """Contents of a committed shard. Tokens are of all its records; `wasted_tokens` of rejected rows only.

    `fingerprint` is that of the configuration that generated it, in whatever run it is now. `reasons` counts rejections
    by `step: reason`; checksums are BLAKE2b of the two files. `spent` is the usage of calls, by the outcome of the row
    they were for (`kept`, or `step: reason`) and by step. `decided` is the number of the run's first records whose pool
    decisions its records used.

    For a shard that was committed short, `stop` is its end for now, and `planned_stop` its planned end.

    `earlier` has what earlier configurations generated, by fingerprint: `kept` rows, and `records` as ranges [start,
    stop].

    `strata` counts kept rows by column and label, in a run that has strata.
    """

    index: int
    start: int
    stop: int
    kept: int
    rejected: int
    fingerprint: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    wasted_tokens: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    checksum: str = ""
    rejected_checksum: str = ""
    decided: int = 0
    spent: dict[str, dict[str, Spent]] = field(default_factory=dict)
    earlier: dict[str, dict[str, Any]] = field(default_factory=dict)
    planned_stop: int | None = None
    strata: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        """Records that were skipped because their stratum was full."""
        return self.reasons.get(f"{SKIP}: {FULL}", 0)

    @property
    def made_by(self) -> dict[str, int]:
        """Kept rows by fingerprint of their configuration."""
        earlier = {one: counts["kept"] for one, counts in self.earlier.items()}
        return {self.fingerprint: self.kept - sum(earlier.values())} | earlier

    def maker(self, number: int) -> str:
        """The fingerprint of a record's configuration."""
        for one, counts in self.earlier.items():
            if any(start <= number < stop for start, stop in counts["records"]):
                return one
        return self.fingerprint

    def has(self, again: Collection[str]) -> bool:
        """Whether it has rejections that are retried."""
        return any(is_again(again, *key.rsplit(": ", 1)) for key in self.reasons)

    def __post_init__(self) -> None:
        """`spent` may come from JSON. Raises TypeError or AttributeError if it is damaged."""
        spent = {
            end: {step: Spent() + Spent._make(one) for step, one in steps.items()} for end, steps in self.spent.items()
        }
        object.__setattr__(self, "spent", spent)


def commit(
    folder: RunFolder,
    shard: Shard,
    journal: Journal,
    columns: Mapping[str, pa.DataType],
    fingerprint: str,
    duplicates: Sequence[Duplicate] = (),
    stop: int | None = None,
    strata: Strata | None = None,
) -> ShardSummary:
    """Write a finished shard from its journal and remove the journal. The rename of the kept rows' file is the commit.
    Kept rows of `duplicates` become rejected rows.

    With a `stop` below the shard's own, only records below it are committed, and the journal stays: a run that wants
    more continues from there.

    Raises OSError if another worker has taken over the journal, it can't be read, or the disk is full.
    """
    journal.sync()
    with atomic_write(folder.shard(shard.index)) as kept, atomic_write(folder.rejected(shard.index)) as rejected:
        records = _below(stop, journal.in_order())
        tally, spent, earlier = _write_rows(records, columns, duplicates, fingerprint, kept, rejected, strata)
        summary = ShardSummary(
            index=shard.index,
            start=shard.start,
            stop=shard.stop if stop is None else stop,
            planned_stop=None if stop in (None, shard.stop) else shard.stop,
            kept=tally["kept"],
            rejected=tally["rejected"],
            fingerprint=fingerprint,
            wasted_tokens=tally["wasted_tokens"],
            reasons=dict(Counter({key[1]: count for key, count in tally.items() if key[0] == "reason"}).most_common()),
            checksum=checksum(kept),
            rejected_checksum=checksum(rejected),
            decided=tally["decided"],
            spent=spent,
            earlier=earlier,
            strata={
                column: {label: tally["stratum", column, label] for label in labels}
                for column, labels in (strata.rows if strata else {}).items()
            },
            **{name: tally[name] for name in asdict(Usage())},
        )
        journal.refuse_other_owner()  # before the note, which may already be the other owner's
        write_sealed(folder.note(shard.index), vars(summary))
    if summary.planned_stop is None:
        journal.remove()
    return summary


def _below(stop: int | None, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        records = batch if stop is None else batch.filter(pc.less(batch["number"], stop))
        if len(records):
            yield records


def committed(folder: RunFolder, shard: Shard, fingerprint: str, earlier: Collection[str] = ()) -> ShardSummary | None:
    """The summary of a committed shard; None if it is missing, damaged (which is logged) or of another run.

    A run's shards are of its configuration or of an `earlier` one."""
    kept, note = folder.shard(shard.index), folder.note(shard.index)
    try:
        summary = ShardSummary(**read_sealed(note))
    except FileNotFoundError:
        if kept.exists():
            log.warning("%s is lost: the records of %s are run again", note, kept.name)
        return None
    except (OSError, Damaged, TypeError, AttributeError):
        log.warning("%s is damaged: the records of %s are run again", note, kept.name)
        return None
    planned = summary.planned_stop or summary.stop
    if (summary.index, summary.start, planned) != (shard.index, shard.start, shard.stop):
        log.warning("%s is of another shard: the records of %s are run again", note, kept.name)
        return None
    if summary.fingerprint not in (fingerprint, *earlier):
        log.warning("%s is of another run: the records of %s are run again", note, kept.name)
        return None
    path = damaged_file(folder, summary)
    # Without the kept rows the shard was not committed, and its journal continues; without both, files were lost.
    if path and not (path == kept and not path.exists() and folder.journal(shard.index).exists()):
        log.warning("%s is %s: its records are run again", path, damage(path))
    return None if path else summary


def damaged_file(folder: RunFolder, summary: ShardSummary) -> Path | None:
    """The first of a shard's files that is missing or changed."""
    files = {
        folder.shard(summary.index): summary.checksum,
        folder.rejected(summary.index): summary.rejected_checksum,
    }
    return next((path for path, expected in files.items() if not path.exists() or checksum(path) != expected), None)


def discard(folder: RunFolder, index: int) -> None:
    """Remove a shard that does not count. The note goes first: without it the rest is ignored."""
    for path in (folder.note(index), folder.shard(index), folder.rejected(index)):
        path.unlink(missing_ok=True)


def damage(path: Path) -> str:
    """ "missing" or "damaged", for a file that failed its check."""
    return "damaged" if path.exists() else "lost"


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def shard_schema(path: Path) -> pa.Schema:
    """Of a shard's rows. Raises OSError and pyarrow's errors."""
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        return reader.schema


@contextmanager
def stream(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatchStreamWriter]:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        yield writer


def _write_rows(
    batches: Iterable[pa.RecordBatch],
    columns: Mapping[str, pa.DataType],
    duplicates: Sequence[Duplicate],
    fingerprint: str,
    kept: Path,
    rejected: Path,
    strata: Strata | None,
) -> tuple[Counter[Any], dict[str, dict[str, Spent]], dict[str, dict[str, Any]]]:
    """Write a journal's rows in order to two files. Returns the number of rows, tokens, pool decisions, and ("reason",
    reason) counts; the usage; and what earlier configurations generated."""
    kept_schema, rejected_schema_ = dataset_schema(columns), rejected_schema(columns)
    tally: Counter[Any] = Counter()
    spent: dict[str, dict[str, Spent]] = {}
    earlier: dict[str, dict[str, Any]] = {}
    with stream(kept, as_read(kept_schema)) as kept_rows, stream(rejected, rejected_schema_) as rejected_rows:
        for records in batches:
            good = _rows(records, "kept", kept_schema)
            bad = _rows(records, "rejected", rejected_schema_)
            if duplicates:
                good, bad = _without(duplicates, good, bad)
            kept_rows.write_table(good, max_chunksize=1000)
            rejected_rows.write_table(bad, max_chunksize=1000)
            tally.update(kept=len(good), rejected=len(bad), wasted_tokens=_total(bad, "completion_tokens"))
            tally.update({name: _total(good, name) + _total(bad, name) for name in asdict(Usage())})
            rejections = zip(bad["rejected_by"].to_pylist(), bad["reason"].to_pylist(), strict=True)
            ends = [f"{step}: {reason}" for step, reason in rejections]
            tally.update(("reason", end) for end in ends)
            _add_spent(spent, records, bad["id"], ends)
            tally["decided"] = max(tally["decided"], pc.max(records["decided"]).as_py())
            _add_earlier(earlier, records, fingerprint)
            if strata:
                for column in strata.rows:
                    labels = (strata.label(column, value) for value in good[column].to_pylist())
                    tally.update(("stratum", column, label) for label in labels)
    return tally, spent, earlier


def _add_earlier(earlier: dict[str, dict[str, Any]], records: pa.RecordBatch, fingerprint: str) -> None:
    """Records are in the order of their numbers."""
    others = records.filter(pc.invert(pc.is_in(records["made_by"], pa.array(["", fingerprint]))))
    kept = pc.list_value_length(others["kept"]).to_pylist()
    for number, made_by, rows in zip(others["number"].to_pylist(), others["made_by"].to_pylist(), kept, strict=True):
        counts = earlier.setdefault(made_by, {"kept": 0, "records": []})
        counts["kept"] += rows
        if counts["records"] and counts["records"][-1][1] == number:
            counts["records"][-1][1] += 1
        else:
            counts["records"].append([number, number + 1])


def _add_spent(
    spent: dict[str, dict[str, Spent]], records: pa.RecordBatch, rejected: pa.ChunkedArray, ends: list[str]
) -> None:
    """Adds the usage of records; a row that is not among `rejected`, with its outcome, is kept."""
    calls = pc.list_flatten(records["spent"])
    columns = {name: pc.struct_field(calls, name) for name in ("step", *Spent._fields)}
    places = pc.index_in(pc.struct_field(calls, "id"), rejected.combine_chunks())
    columns["end"] = pc.fill_null(pa.array(ends, pa.string()).take(places), "kept")
    sums = pa.table(columns).group_by(["end", "step"]).aggregate([(name, "sum") for name in Spent._fields])
    for group in sums.to_pylist():
        added = Spent._make(round(group[f"{name}_sum"], 6) for name in Spent._fields)
        add_spent(spent.setdefault(group["end"], {}), {group["step"]: added})


def _rows(records: pa.RecordBatch, column: str, schema: pa.Schema) -> pa.Table:
    """The rows of all records in one table: list-of-struct columns flattened without copying values."""
    structs = pc.list_flatten(records[column])
    return pa.Table.from_arrays([pc.struct_field(structs, name) for name in schema.names], schema=schema)


def _without(duplicates: Sequence[Duplicate], good: pa.Table, bad: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Kept and rejected rows, with the kept rows of duplicates moved to the rejected ones, in the order of ids."""
    by_number: dict[int, list[Duplicate]] = {}
    for duplicate in duplicates:
        by_number.setdefault(duplicate.place[0], []).append(duplicate)
    places = [as_place(id) for id in good["id"].to_pylist()]
    ends = [next((one for one in by_number.get(place[0], ()) if one.covers(place)), None) for place in places]
    is_lost = pa.array([end is not None for end in ends], pa.bool_())
    lost = good.filter(is_lost)
    rejections = [(end.step, end.rejection) for end in ends if end is not None]
    added = {
        "rejected_by": [step for step, _ in rejections],
        "reason": [why.reason for _, why in rejections],
        "detail": [why.detail for _, why in rejections],
    }
    for name, values in added.items():
        lost = lost.append_column(name, pa.array(values, pa.string()))
    bad = pa.concat_tables([bad, lost.cast(bad.schema)])
    ids = [as_place(id) for id in bad["id"].to_pylist()]
    return good.filter(pc.invert(is_lost)), bad.take(sorted(range(len(ids)), key=ids.__getitem__))


def _total(rows: pa.Table, name: str) -> int:
    return pc.sum(pc.struct_field(rows["usage"], name)).as_py() or 0
