"""The merge by hand: python -m synth.merge RUN_DIR [RUN_DIR ...] [--output-dir FOLDER].

For a run that was stopped and shall stay as it is, and for the slices of an array job. Copies no row: the dataset's
files are hard links to the shards. Exit codes: 0 done, 2 when the folders can't be merged.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from synth.storage.card import write_card
from synth.storage.manifest import Manifest, Unreadable
from synth.storage.merge import Unmergeable, merge
from synth.storage.run_folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m synth.merge", description="Make a dataset of what runs have committed so far."
    )
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--output-dir", type=Path, help="where dataset/ goes; default: the only RUN_DIR")
    given = parser.parse_args(arguments)
    if given.output_dir is None and len(given.run_dirs) > 1:
        parser.error("several run folders need --output-dir")
    output = RunFolder(given.output_dir or given.run_dirs[0])
    try:
        runs = [(folder, _manifest(folder)) for folder in map(RunFolder, given.run_dirs)]
        output.path.mkdir(parents=True, exist_ok=True)
        only = runs[0][1].num_records if len(runs) == 1 else None
        rows = merge(runs, output.dataset, only)
        write_card(output, [manifest for _, manifest in runs], rows)
    except (Unmergeable, Unreadable, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{rows:,} records in {output.dataset}")
    return 0


def _manifest(folder: RunFolder) -> Manifest:
    manifest = Manifest.read(folder)
    if manifest is None:
        raise Unmergeable(f"{folder.path}: holds no run, there is no {folder.manifest.name}")
    for path in manifest.damaged(folder).values():
        raise Unmergeable(f"{path}: is damaged; the command that made it makes its records again")
    return manifest


if __name__ == "__main__":
    sys.exit(main())
