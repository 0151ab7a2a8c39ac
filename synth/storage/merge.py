"""Merges committed shards into one Hugging Face dataset: hard links and two small JSON files.

No row is copied, except in at most one shard: if the number of records ends within it, its first rows are written anew.
On file systems without hard links, files are copied.

The dataset is replaced atomically; a former one stays until then. Its state.json, which datasets reads, also has the
checksums of all its files and of itself.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from synth.storage.journal import finished_numbers, owner_of
from synth.storage.lock import locked_file
from synth.storage.manifest import Manifest, differing_keys
from synth.storage.run_folder import RunFolder, link, replace_folder, restore, unfinished_name
from synth.storage.sealed import Damaged, read_sealed, write_sealed
from synth.storage.shard import ShardSummary, checksum, shard_schema, stream

Part = tuple[RunFolder, ShardSummary]


class Unmergeable(ValueError):
    """Runs that can't be merged. The message names the folder and the reason."""


def merge(runs: Sequence[tuple[RunFolder, Manifest]], destination: Path, num_records: int | None = None) -> int:
    """Write all committed shards in record order as a dataset at `destination`, only the first `num_records` rows if
    given.

    Returns the number of rows. Raises Unmergeable: nothing committed, different runs, or overlapping records. Does not
    check shards for damage (see Manifest.damaged). Waits while another process does the same.
    """
    _refuse_other_runs(runs)
    parts = [(folder, summary) for folder, manifest in runs for summary in manifest.summaries]
    parts.sort(key=lambda part: part[1].start)
    if not parts:
        open_ = sum(
            len(finished_numbers(run.journal(shard.index), owner_of(shard, of.fingerprint)))
            for run, of in runs
            for shard in of.shards
        )
        journals = f"; {open_:,} finished records are in its journals: run its command again" if open_ else ""
        raise Unmergeable(f"{runs[0][0].path}: has no committed shard yet{journals}")
    _refuse_overlaps(parts)
    counts = _counts(parts, num_records)
    with replaced_dataset(destination) as unfinished:
        _fill(unfinished, [part for part, _ in zip(parts, counts, strict=False)], counts)
    return sum(counts)


@contextmanager
def replaced_dataset(destination: Path) -> Iterator[Path]:
    """An empty folder, which replaces the dataset if the context succeeds. Waits while another process does the
    same."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with locked_file(destination.with_name(f".{destination.name}.lock"), wait=lambda: _report_waiting(destination)):
        restore(destination)
        unfinished = unfinished_name(destination)
        unfinished.mkdir()
        try:
            yield unfinished
            replace_folder(unfinished, destination)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _report_waiting(destination: Path) -> None:
    print(f"{destination}: waiting for another process that is merging it", file=sys.stderr)


def damaged_part(dataset: Path) -> Path | None:
    """The first missing or changed file of a merged dataset; None also for a dataset from elsewhere, which can't be
    checked."""
    path = dataset / "state.json"
    try:
        checksums = read_sealed(path)["checksums"]
    except (OSError, Damaged):
        return None if _is_of_others(path) else path
    files = {dataset / name: expected for name, expected in checksums.items()}
    return next((path for path, expected in files.items() if not path.exists() or checksum(path) != expected), None)


def _is_of_others(state: Path) -> bool:
    try:
        return not {"checksum", "checksums"} & json.loads(state.read_bytes()).keys()
    except (OSError, ValueError, AttributeError):
        return False


def merged_fingerprints(dataset: Path) -> set[str]:
    """The fingerprints of the configurations in a merged dataset; empty for any other dataset."""
    try:
        return set(read_sealed(dataset / "state.json").get("made_by", ()))
    except (OSError, Damaged):
        return set()


def _fill(dataset: Path, parts: Sequence[Part], counts: Sequence[int]) -> None:
    names = [f"data-{place:05}-of-{len(counts):05}.arrow" for place in range(len(counts))]
    checksums = {}
    for name, count, (folder, summary) in zip(names, counts, parts, strict=True):
        if count == summary.kept:
            link(folder.shard(summary.index), dataset / name)
            checksums[name] = summary.checksum
        else:
            _copy(folder.shard(summary.index), dataset / name, count)
            checksums[name] = checksum(dataset / name)
    folder, summary = parts[0]
    rows = [f"{summary.checksum} {count}" for (_, summary), count in zip(parts, counts, strict=True)]
    made_by = {one for _, summary in parts for one in summary.made_by}
    write_metadata(dataset, checksums, shard_schema(folder.shard(summary.index)), rows, made_by)


def first_rows(runs: Sequence[tuple[RunFolder, Manifest]], num_records: int | None) -> Iterator[tuple[Part, int]]:
    """The shards in record order, with the number of rows of each among the first `num_records`."""
    parts = sorted(
        ((folder, summary) for folder, manifest in runs for summary in manifest.summaries), key=lambda one: one[1].start
    )
    return zip(parts, _counts(parts, num_records), strict=False)


def _counts(parts: Sequence[Part], num_records: int | None) -> list[int]:
    """Rows to take of each part, up to the last part that is needed."""
    counts: list[int] = []
    left = num_records
    for _, summary in parts:
        counts.append(summary.kept if left is None else min(summary.kept, left))
        if left is not None:
            left -= counts[-1]
            if left == 0:
                break
    return counts


def write_metadata(
    dataset: Path, checksums: Mapping[str, str], schema: pa.Schema, rows: Iterable[str], made_by: Iterable[str]
) -> None:
    """Write the metadata of a datasets folder: the features, and the files in order. `checksums` are those of the
    files, `rows` identify their rows; `made_by` are the fingerprints of the configurations."""
    from datasets import DatasetInfo, Features

    size = sum((dataset / name).stat().st_size for name in checksums)
    info = asdict(DatasetInfo(features=Features.from_arrow_schema(schema), dataset_size=size))
    (dataset / "dataset_info.json").write_text(json.dumps(info, indent=2))
    state: dict[str, object] = {
        "_data_files": [{"filename": name} for name in checksums],
        "_fingerprint": hashlib.blake2b("\n".join(rows).encode(), digest_size=8).hexdigest(),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
        "made_by": sorted(made_by),
        "checksums": {**checksums, "dataset_info.json": checksum(dataset / "dataset_info.json")},
    }
    write_sealed(dataset / "state.json", state)


def _refuse_other_runs(runs: Sequence[tuple[RunFolder, Manifest]]) -> None:
    first_folder, first = runs[0]
    for folder, manifest in runs[1:]:
        if manifest.columns != first.columns:
            names = sorted(manifest.columns.items() ^ first.columns.items())
            raise Unmergeable(f"{folder.path}: column {names[0][0]!r} differs from {first_folder.path}")
        if differing := differing_keys(first.identity, manifest.identity):
            raise Unmergeable(
                f"{folder.path}: {differing[0][0]} differs from {first_folder.path}; "
                "use --into for runs that have nothing to do with each other"
            )


def _refuse_overlaps(parts: Sequence[Part]) -> None:
    for (one, before), (other, after) in pairwise(parts):
        if after.start < before.stop:
            raise Unmergeable(
                f"{other.path}: has records {after.start} to {after.stop - 1}, and so has {one.path}; "
                "use --into for runs that have nothing to do with each other"
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
