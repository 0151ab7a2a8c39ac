"""A run in slices: what its jobs agree on, though none knows of the others, and how a single job takes them over.

A slice has every so-manyth shard, in a run folder of its own below the run's. All shards have one size, which the first
slice fixes: so those of all slices are disjoint and leave no record out.

Promises: until the whole run's manifest is there, the slices have all files; from then on the whole run has. So what is
taken over counts once, wherever that breaks off, and the next run goes on with it.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from synth.errors import ConfigError
from synth.records import Shard, Slice
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder, link, sync_folder

SHARDS = 16  # in a slice, at the least: enough for its replicas to share, and the last one is no large part of it


def first_shard_size(slice: Slice, most: int, records: int) -> int:
    """Records in each shard where no slice was begun yet: `most`, or less where the whole run has few `records`."""
    return max(1, min(most, math.ceil(records / (SHARDS * slice.of))))


def beside(folder: RunFolder, slice: Slice) -> tuple[RunFolder, Manifest] | None:
    """Another slice of the run in the folder; None where there is none yet.

    Raises ConfigError where this slice can't be a part of what is there, and Unreadable.
    """
    if folder.manifest.exists():
        raise ConfigError(f"slice: {folder.path} is a single job's by now; leave slice out to go on with it")
    for other, part in folder.slices().items():
        if other != slice and (manifest := Manifest.read(part)):
            if other.of != slice.of:
                raise ConfigError(f"slice: {folder.path} holds a run in {other.of} slices, which has no {slice}")
            return part, manifest
    return None


def join(manifest: Manifest, parts: Sequence[tuple[RunFolder, Manifest]], source_size: int | None) -> None:
    """Put what slices have into the new manifest of the whole run, and between their shards those that none has yet.

    Moves no file. Raises ConfigError where one has other shards than the rest.
    """
    size = parts[0][1].shard_size
    stop = max((shard.stop for _, part in parts for shard in part.shards), default=0)
    end = math.inf if source_size is None else source_size
    starts = enumerate(range(0, stop, size))
    manifest.shards = [Shard(index, start, int(min(start + size, end))) for index, start in starts]
    for folder, part in parts:
        if not set(part.shards) <= set(manifest.shards):
            raise ConfigError(
                f"output_dir: {folder.path} has other shards than the rest of the run; choose another output_dir"
            )
        manifest.committed |= part.committed


def untaken(folder: RunFolder) -> list[RunFolder]:
    """The slices whose shards count: none by the time that there is a manifest of the whole run, which has taken them
    over."""
    return [] if folder.manifest.exists() else [part for part in folder.slices().values() if part.manifest.exists()]


def take_over(folder: RunFolder, manifest: Manifest) -> int:
    """Give the shards of all slices, the unfinished too, to the run's folder, and write its `manifest`, which has them
    already, by `join`. Returns the number of slices. Raises OSError."""
    parts = untaken(folder)
    for part in parts:
        for path in part.shards.glob("[0-9]*"):
            (folder.shards / path.name).unlink(missing_ok=True)  # of a time before, when this broke off
            link(path, folder.shards / path.name)
        _append(part.metrics, folder.metrics)
    sync_folder(folder.shards)
    manifest.write(folder)
    return len(parts)


def drop_taken(folder: RunFolder) -> None:
    """Take away what slices have, when all is the whole run's. Raises OSError."""
    for part in folder.slices().values():
        if part.manifest.exists():
            for path in (*part.shards.glob("[0-9]*"), part.metrics, part.manifest):
                path.unlink(missing_ok=True)


def _append(part: Path, whole: Path) -> None:
    """The lines of one slice's metrics.jsonl to those of the whole run, unless they are there."""
    lines = part.read_bytes() if part.exists() else b""
    if lines and lines not in (whole.read_bytes() if whole.exists() else b""):
        with whole.open("ab") as file:
            file.write(lines)
