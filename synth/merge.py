"""Merges shards into a dataset: python -m synth.merge RUN_DIR [RUN_DIR ...] [--output-dir FOLDER | --into FOLDER].

For a stopped run that won't be resumed, and for slices, which are found in the run's folder. Copies no row: the
dataset's files are hard links to the shards. With --into, for runs that have nothing to do with each other: their rows
are copied, with a column `run`. A folder with a running run is refused, and of two concurrent merges the
second one waits. Exit codes: 0 done, 2 if the folders can't be merged.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from synth.errors import reason
from synth.paths import argument
from synth.records import Slice
from synth.report.reserved import NOTHING
from synth.report.run_data import Run
from synth.resumption.slices import runs_in, untaken
from synth.storage.card import card_of_runs, write_card
from synth.storage.manifest import Manifest, Unreadable
from synth.storage.merge import Unmergeable, merge, merged_fingerprints
from synth.storage.new_paths import NewPaths
from synth.storage.run_folder import InUse, RunFolder, atomic_write
from synth.storage.union import Member, named, refuse_same_rows, schema_of, unite, write_runs

HELP = """\
examples:
  python -m synth.merge runs/magpie
  python -m synth.merge runs/slices-1 runs/slices-2 --output-dir runs/whole
  python -m synth.merge runs/magpie runs/magpie_math --into mixed

Exit codes: 0 done; 2 bad input, nothing was written."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m synth.merge",
        description="Merge the committed shards of runs into one dataset, without copying a row.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dirs", nargs="+", type=argument, metavar="RUN_DIR", help="a run's folder, or a slice's")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--output-dir", type=argument, help="folder for dataset/; default: the only RUN_DIR")
    place.add_argument("--into", type=argument, metavar="FOLDER", help="a folder for the dataset/ of different runs")
    given = parser.parse_args(arguments)
    if given.into is not None:
        given.output_dir = given.into
    if given.output_dir is None and len(given.run_dirs) > 1:
        parser.error("several run folders need --output-dir, or --into for different runs")
    output = RunFolder(given.output_dir or given.run_dirs[0])
    folders = [RunFolder(path) for path in given.run_dirs]
    try:
        for folder in folders:
            _refuse_no_run(folder)
        with NewPaths() as new, ExitStack() as locks:
            for one in (*folders, output):
                if one.path.exists():
                    locks.enter_context(one.locked(shared=True, new=new))
            runs = [run for folder in folders for run in runs_in(folder)]
            manifests = [manifest for _, manifest in runs]
            if not any(output.path.resolve() == folder.path.resolve() for folder in folders):
                _refuse_what_is_there(output, manifests)
            elif given.into is not None:
                raise Unmergeable(f"{output.path}: is one of the runs; choose another folder for --into")
            wanted = [manifest.num_records for manifest in manifests if manifest.num_records is not None]
            most = max(wanted) if len(wanted) == len(runs) else None
            if given.into is not None:
                rows = _unite(folders, output, new)
            else:
                new.folder(output.path)
                rows = merge(runs, output.dataset, most)
                reserved = sum((Run(*run).reserved for run in runs), NOTHING)
                write_card(output, runs, rows, most, reserved.cost_of_tokens)
            new.keep()
    except (Unmergeable, Unreadable, InUse) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: {error.filename or output.path} can't be read or written ({error.strerror or reason(error)})",
            file=sys.stderr,
        )
        return 2
    print(f"{rows:,} records in {output.dataset}")
    if lacking := ", ".join(map(str, _unfinished(manifests))):
        print(f"incomplete: records of slice {lacking} are missing", file=sys.stderr)
    return 0


def _unite(folders: Sequence[RunFolder], output: RunFolder, new: NewPaths) -> int:
    members = [Member(folder.path, runs_in(folder)) for folder in folders]
    named(members)
    refuse_same_rows(members)
    schema_of(members)
    new.folder(output.path)
    rows = unite(members, output.dataset)
    with atomic_write(output.card) as unfinished:
        unfinished.write_text(card_of_runs(members, rows))
    write_runs(output, members)
    return rows


def _refuse_no_run(folder: RunFolder) -> None:
    if not (folder.manifest.exists() or untaken(folder)):
        raise Unmergeable(f"{folder.path}: holds no run, there is no {folder.manifest.name}")


def _refuse_what_is_there(output: RunFolder, manifests: Sequence[Manifest]) -> None:
    """Only an earlier merge of the same runs is replaced, in a folder without a run."""
    if os.path.lexists(output.manifest):
        raise Unmergeable(f"{output.path}: has a run of its own; choose another --output-dir")
    made_by = merged_fingerprints(output.dataset)
    for path in (output.dataset, output.card):
        if os.path.lexists(path) and not made_by:
            raise Unmergeable(f"{path}: exists and is not of a merge; choose another --output-dir")
    if made_by and not made_by & {fingerprint for manifest in manifests for fingerprint in manifest.fingerprints}:
        raise Unmergeable(f"{output.dataset}: is merged from other runs; choose another --output-dir")


def _unfinished(manifests: Sequence[Manifest]) -> Iterator[Slice]:
    """The slices that lack records, including those that have not begun."""
    parts = {manifest.slice: manifest for manifest in manifests if manifest.slice}
    for slice in Slice.all_of(parts):
        part = parts.get(slice)
        if part is None or not _complete(part):
            yield slice


def _complete(part: Manifest) -> bool:
    if part.wanted is None:
        return len(part.committed) == len(part.shards) > 0
    return sum(summary.kept for summary in part.summaries) >= part.wanted


if __name__ == "__main__":
    sys.exit(main())
