"""A run in slices: what its jobs agree on, though none knows of the others, and how a single job takes them over.

A slice has every so-manyth shard, in a run folder of its own below the run's. All shards have one size, which the first
slice fixes: so those of all slices are disjoint and leave no record out.

Promises: a file is in one folder at any time. So what is taken over is there once, and where that breaks off, the next
run goes on with it.
"""

import math
import shutil
from collections.abc import Sequence

from synth.components import ConfigError
from synth.records import Shard, Slice
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder, sync_folder

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
    """Put what slices have into the manifest of the whole run, and between their shards those that none has yet.

    Moves no file. Raises ConfigError where one has other shards than the rest.
    """
    if not manifest.shards:
        size = parts[0][1].shard_size
        stop = max((shard.stop for _, part in parts for shard in part.shards), default=0)
        starts = enumerate(range(0, stop, size))
        end = math.inf if source_size is None else source_size
        manifest.shards = [Shard(index, start, int(min(start + size, end))) for index, start in starts]
    for folder, part in parts:
        if not set(part.shards) <= set(manifest.shards):
            raise ConfigError(
                f"output_dir: {folder.path} has other shards than the rest of the run; choose another output_dir"
            )
        manifest.committed |= part.committed


def take_over(folder: RunFolder, manifest: Manifest) -> int:
    """Move the shards of all slices, the unfinished too, into the run's folder. Returns the number of slices.

    `manifest` has them already, by `join`. Raises OSError.
    """
    parts = [part for part in folder.slices().values() if part.manifest.exists()]
    if parts:
        manifest.write(folder)
    for part in parts:
        # The kept rows' file last: by it a shard counts as committed.
        for path in sorted(part.shards.iterdir(), key=lambda path: path.name.removesuffix(".arrow").isdecimal()):
            path.rename(folder.shards / path.name)
        sync_folder(folder.shards)
        if part.metrics.exists():
            with folder.metrics.open("ab") as whole, part.metrics.open("rb") as metrics:
                shutil.copyfileobj(metrics, whole)
            part.metrics.unlink()
        part.manifest.unlink()
    return len(parts)
