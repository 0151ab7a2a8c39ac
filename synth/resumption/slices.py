"""A run in slices: what its jobs agree on without knowing each other, and how a single job takes them over.

A slice has every n-th shard, in a run folder of its own below the run's. All shards have one size, fixed by the first
slice: so the slices are disjoint and together complete.

Promises: until the whole run's manifest exists, all files belong to the slices; afterwards to the whole run. So every
shard counts once, wherever a takeover is interrupted, and the next run completes it.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from synth.errors import ConfigError
from synth.records import Shard, Slice
from synth.storage.manifest import Manifest, Unreadable
from synth.storage.run_folder import RunFolder, link, sync_folder
from synth.storage.shard import damage

SHARDS = 16  # at least, per slice: enough for its replicas, and the last one is a small part of it


def first_shard_size(slice: Slice, most: int, records: int) -> int:
    """Records per shard if no slice has begun: `most`, or less if the whole run has few `records`."""
    return max(1, min(most, math.ceil(records / (SHARDS * slice.of))))


def beside(folder: RunFolder, slice: Slice) -> tuple[RunFolder, Manifest] | None:
    """Another slice of the run in the folder; None if there is none yet.

    Raises ConfigError if this slice does not fit the others, and Unreadable.
    """
    if folder.manifest.exists():
        raise ConfigError(f"slice: {folder.path} has been taken over by a single job; resume it without slice")
    for other, part in folder.slices().items():
        if other != slice and (manifest := Manifest.read(part)):
            if other.of != slice.of:
                raise ConfigError(f"slice: {folder.path} has a run in {other.of} slices, and {slice} is none of them")
            return part, manifest
    return None


def join(manifest: Manifest, parts: Sequence[tuple[RunFolder, Manifest]], source_size: int | None) -> None:
    """Add the slices' shards to the new manifest of the whole run, and the shards in between that no slice has yet.

    Moves no file. Raises ConfigError if a slice's shards have other bounds.
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
    """The slices whose shards still count: none once the whole run has a manifest, which includes them."""
    return [] if folder.manifest.exists() else [part for part in folder.slices().values() if part.manifest.exists()]


def runs_in(folder: RunFolder) -> list[tuple[RunFolder, Manifest]]:
    """The runs in a folder: the run itself, or its slices; none in another folder. Raises Unreadable if one is damaged.
    Reads all shards."""
    parts = untaken(folder) or [folder]
    runs = [(part, manifest) for part in parts if (manifest := Manifest.read(part))]
    for part, manifest in runs:
        for path in manifest.damaged(part).values():
            raise Unreadable(f"{path}: is {damage(path)}; run the same command again to replace its records")
    return runs


def take_over(folder: RunFolder, manifest: Manifest) -> int:
    """Move the files of all slices, also unfinished ones, to the run's folder, and write its `manifest`, which has them
    from `join`. Returns the number of slices. Raises OSError."""
    parts = untaken(folder)
    for part in parts:
        for path in part.shards.glob("[0-9]*"):
            (folder.shards / path.name).unlink(missing_ok=True)  # of an interrupted takeover
            link(path, folder.shards / path.name)
        _append(part.metrics, folder.metrics)
    sync_folder(folder.shards)
    manifest.write(folder)
    return len(parts)


def drop_taken(folder: RunFolder) -> None:
    """Delete the slices' folders once everything is the whole run's. Raises OSError."""
    for part in folder.slices().values():
        if part.manifest.exists():
            for path in (*part.shards.glob("[0-9]*"), part.metrics, part.manifest):
                path.unlink(missing_ok=True)


def _append(part: Path, whole: Path) -> None:
    """Append the lines of a slice's metrics.jsonl to the whole run's, unless they are there."""
    lines = part.read_bytes() if part.exists() else b""
    if lines and lines not in (whole.read_bytes() if whole.exists() else b""):
        with whole.open("ab") as file:
            file.write(lines)
