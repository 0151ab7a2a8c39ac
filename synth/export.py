"""Exports a dataset: python -m synth.export RUN_DIR --format parquet|sharegpt|alpaca --output-dir DIR [--without-cut].

Or python -m synth.export RUN_DIR --push-to-hub user/name, which sends Parquet to the Hugging Face Hub and continues an
interrupted push. Exit codes: 0 done, 1 if the push was incomplete, 2 if there is nothing to export or the destination
is unusable.
"""

import argparse
import sys
from collections.abc import Sequence

from synth.batch import results
from synth.exit_codes import TOO_FEW
from synth.paths import argument, argument_or_url
from synth.resumption.slices import runs_in
from synth.storage.export import FORMATS, Unexportable, counts, dataset_of, export
from synth.storage.hub import Unpushable, dataset_name, make_ready, push
from synth.storage.manifest import Unreadable
from synth.storage.run_folder import InUse, RunFolder

HELP = """\
examples:
  python -m synth.export runs/magpie --output-dir exported
  python -m synth.export runs/magpie --format sharegpt --output-dir s3://bucket/folder
  python -m synth.export runs/magpie --push-to-hub user/name
  python -m synth.export runs/batch --format openai_batch --output-dir results

Exit codes: 0 done; 2 bad input, nothing was written; 3 of an OpenAI batch, some requests have no result yet."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m synth.export",
        description="Convert a run's dataset to a format that other programs read.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=argument, metavar="RUN_DIR", help="of a run that has made its dataset")
    parser.add_argument("--format", choices=[*FORMATS, results.FORMAT], default="parquet", help="default: parquet")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output-dir", type=argument_or_url, help="a folder, or a URL such as s3://bucket/folder")
    place.add_argument("--push-to-hub", metavar="USER/NAME", help="a dataset on the Hugging Face Hub")
    parser.add_argument(
        "--without-cut", action="store_true", help="leave out rows whose answer max_tokens cut (sharegpt, alpaca)"
    )
    parser.add_argument(
        "--separate-errors", action="store_true", help="of an OpenAI batch: error lines in a file of their own"
    )
    given = parser.parse_args(arguments)
    if given.separate_errors and given.format != results.FORMAT:
        parser.error(f"--separate-errors: is for --format {results.FORMAT}")
    if given.without_cut and (given.push_to_hub or given.format in ("parquet", results.FORMAT)):
        parser.error("--without-cut: is for sharegpt and alpaca; Parquet has the column finish_reason to filter by")
    folder = RunFolder(given.run_dir)
    try:
        if given.format == results.FORMAT and given.push_to_hub is None:
            return _export_batch(folder, given.output_dir, given.separate_errors)
        if given.push_to_hub is None:
            return _export(folder, given.format, given.output_dir, given.without_cut)
        if given.format != "parquet":
            parser.error("--push-to-hub: pushes Parquet; set --output-dir for other formats")
        return _push(folder, given.push_to_hub)
    except (Unexportable, Unreadable, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2


def _export(folder: RunFolder, format: str, destination: str, without_cut: bool) -> int:
    done = export(folder, format, destination, without_cut=without_cut)
    if done.cut:
        print(f"left out: {done.cut:,} rows whose answers max_tokens cut", file=sys.stderr)
    if done.left_out:
        print(f"left out, because {format} cannot hold them: {counts(done.left_out)}", file=sys.stderr)
    if done.left_behind:
        columns = ", ".join(done.left_behind)
        print(f"columns left out, because {format} cannot hold them: {columns}", file=sys.stderr)
    print(f"{done.rows:,} rows in {destination}")
    return 0


def _export_batch(folder: RunFolder, destination: str, separate: bool) -> int:
    runs = runs_in(folder)
    if not runs:
        raise Unexportable(f"{folder.path}: holds no run, there is no {folder.manifest.name}")
    done = results.export_results(runs, destination, separate=separate)
    failed = f", {done.errors.total():,} of them errors: {counts(done.errors)}" if done.errors else ""
    print(f"{done.lines:,} results in {destination}{failed}")
    if done.missing:
        print(
            f"incomplete: {done.missing:,} requests have no result yet; run the same command again to go on",
            file=sys.stderr,
        )
        return TOO_FEW
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} can't be read or written ({error.strerror})"
    return str(error)


def _push(folder: RunFolder, name: str) -> int:
    dataset_of(folder)
    try:
        make_ready(dataset_name(name))
    except ValueError as error:
        raise Unexportable(f"--push-to-hub {name}: {error}") from None
    try:
        with folder.locked():
            print(f"pushed to {push(folder, name)}")
    except InUse as error:
        raise Unexportable(str(error)) from None
    except Unpushable as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
