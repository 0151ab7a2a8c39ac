"""Committed shards as one Hugging Face dataset: hard links and two small JSON files.

No row is copied, but for those of one shard at the most: where the number of records asked for ends in the middle of
a shard, its part is written anew. Where the file system has no hard links, files are copied whole.

The dataset appears under its name at once, and a former one stays until then.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from synth.storage.journal import finished_numbers
from synth.storage.manifest import Manifest, differing_keys
from synth.storage.run_folder import RunFolder, link, sync_folder
from synth.storage.shard import ShardSummary, stream

Part = tuple[RunFolder, ShardSummary]


class Unmergeable(ValueError):
    """Runs that can't become one dataset. The message names the folder and says why."""


def merge(runs: Sequence[tuple[RunFolder, Manifest]], destination: Path, num_records: int | None = None) -> int:
    """Make `destination` a dataset of all committed shards in the order of their records, its first `num_records` rows
    only if given.

    Returns the number of rows. Raises Unmergeable: nothing committed, parts of different runs, or records held twice.
    Takes shards for undamaged (see Manifest.damaged).
    """
    _refuse_other_runs(runs)
    parts = [(folder, summary) for folder, manifest in runs for summary in manifest.summaries]
    parts.sort(key=lambda part: part[1].start)
    if not parts:
        open_ = sum(len(finished_numbers(run.journal(one.index))) for run, of in runs for one in of.shards)
        journals = f"; {open_:,} records are finished, in journals: the command that made them goes on" if open_ else ""
        raise Unmergeable(f"{runs[0][0].path}: has no committed shard yet{journals}")
    _refuse_overlaps(parts)

    unfinished = destination.with_name(f".{destination.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    counts = _counts(parts, num_records)
    names = [f"data-{place:05}-of-{len(counts):05}.arrow" for place in range(len(counts))]
    for name, count, (folder, summary) in zip(names, counts, parts, strict=False):
        if count == summary.kept:
            link(folder.shard(summary.index), unfinished / name)
        else:
            _copy(folder.shard(summary.index), unfinished / name, count)
    _describe(unfinished, names, [part for part, _ in zip(parts, counts, strict=False)], counts)
    _put_in_place(unfinished, destination)
    return sum(counts)


def _counts(parts: Sequence[Part], num_records: int | None) -> list[int]:
    """Rows to take of each part, up to the last part of which any are wanted."""
    counts: list[int] = []
    left = num_records
    for _, summary in parts:
        counts.append(summary.kept if left is None else min(summary.kept, left))
        if left is not None:
            left -= counts[-1]
            if left == 0:
                break
    return counts


def _describe(folder: Path, names: Sequence[str], parts: Sequence[Part], counts: Sequence[int]) -> None:
    """What datasets wants beside the data: the features, and the files in order."""
    from datasets import DatasetInfo, Features

    schema = _schema(parts[0])
    size = sum((folder / name).stat().st_size for name in names)
    info = asdict(DatasetInfo(features=Features.from_arrow_schema(schema), dataset_size=size))
    checksums = [f"{summary.checksum} {count}" for (_, summary), count in zip(parts, counts, strict=True)]
    state: dict[str, object] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": hashlib.blake2b("\n".join(checksums).encode(), digest_size=8).hexdigest(),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2))
    (folder / "state.json").write_text(json.dumps(state, indent=2))


def _put_in_place(unfinished: Path, destination: Path) -> None:
    former = destination.with_name(f".{destination.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    sync_folder(unfinished)
    if destination.exists():
        destination.rename(former)
    unfinished.rename(destination)
    sync_folder(destination.parent)
    shutil.rmtree(former, ignore_errors=True)


def _refuse_other_runs(runs: Sequence[tuple[RunFolder, Manifest]]) -> None:
    first_folder, first = runs[0]
    for folder, manifest in runs[1:]:
        if manifest.columns != first.columns:
            names = sorted(manifest.columns.items() ^ first.columns.items())
            raise Unmergeable(f"{folder.path}: column {names[0][0]!r} differs from {first_folder.path}")
        if differing := differing_keys(first.identity, manifest.identity):
            raise Unmergeable(f"{folder.path}: {differing[0][0]} differs from {first_folder.path}")


def _refuse_overlaps(parts: Sequence[Part]) -> None:
    for (one, before), (other, after) in pairwise(parts):
        if after.start < before.stop:
            raise Unmergeable(
                f"{other.path}: holds records {after.start} to {after.stop - 1}, and {one.path} does too; "
                "use datasets.concatenate_datasets for unrelated runs"
            )


def _copy(source: Path, target: Path, count: int) -> None:
    """The first `count` rows."""
    with (
        pa.memory_map(str(source)) as file,
        pa.ipc.open_stream(file) as reader,
        stream(target, reader.schema) as writer,
    ):
        while count:
            rows = reader.read_next_batch().slice(0, count)
            writer.write_batch(rows)
            count -= len(rows)


def _schema(part: Part) -> pa.Schema:
    folder, summary = part
    with pa.OSFile(str(folder.shard(summary.index)), "rb") as file, pa.ipc.open_stream(file) as reader:
        return reader.schema
