"""The merge by hand: python -m synth.merge RUN_DIR [RUN_DIR ...] [--output-dir FOLDER].

For a run that was stopped and shall stay as it is, and for one that is made in slices, which are found in its folder.
Copies no row: the dataset's files are hard links to the shards. Exit codes: 0 done, 2 when the folders can't be merged.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

from synth.paths import argument
from synth.records import Slice
from synth.storage.card import write_card
from synth.storage.manifest import Manifest, Unreadable
from synth.storage.merge import Unmergeable, merge
from synth.storage.run_folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m synth.merge", description="Make a dataset of what runs have committed so far."
    )
    parser.add_argument("run_dirs", nargs="+", type=argument, metavar="RUN_DIR")
    parser.add_argument("--output-dir", type=argument, help="where dataset/ goes; default: the only RUN_DIR")
    given = parser.parse_args(arguments)
    if given.output_dir is None and len(given.run_dirs) > 1:
        parser.error("several run folders need --output-dir")
    output = RunFolder(given.output_dir or given.run_dirs[0])
    try:
        runs = [run for path in given.run_dirs for run in _runs(RunFolder(path))]
        manifests = [manifest for _, manifest in runs]
        output.path.mkdir(parents=True, exist_ok=True)
        wanted = [one.num_records for one in manifests if one.num_records is not None]
        rows = merge(runs, output.dataset, max(wanted) if len(wanted) == len(runs) else None)
        write_card(output, manifests, rows)
    except (Unmergeable, Unreadable, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{rows:,} records in {output.dataset}")
    if lacking := ", ".join(map(str, _unfinished(manifests))):
        print(f"not all of them: missing are records of slice {lacking}", file=sys.stderr)
    return 0


def _runs(folder: RunFolder) -> list[tuple[RunFolder, Manifest]]:
    """What is in a run's folder: the run, or its slices."""
    parts = [folder, *folder.slices().values()]
    runs = [(part, manifest) for part in parts if (manifest := Manifest.read(part))]
    if not runs:
        raise Unmergeable(f"{folder.path}: holds no run, there is no {folder.manifest.name}")
    for part, manifest in runs:
        for path in manifest.damaged(part).values():
            raise Unmergeable(f"{path}: is damaged; the command that made it makes its records again")
    return runs


def _unfinished(manifests: Sequence[Manifest]) -> Iterator[Slice]:
    """The slices that lack records, those that were never begun too."""
    parts = {one.slice: one for one in manifests if one.slice}
    for slice in Slice.all_of(parts):
        part = parts.get(slice)
        if part is None or not _complete(part):
            yield slice


def _complete(part: Manifest) -> bool:
    if part.wanted is None:
        return len(part.committed) == len(part.shards) > 0
    return sum(one.kept for one in part.summaries) >= part.wanted


if __name__ == "__main__":
    sys.exit(main())
