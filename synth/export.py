"""Exports a dataset: python -m synth.export RUN_DIR --format parquet|sharegpt|alpaca --output-dir DIR [--without-cut].

Or python -m synth.export RUN_DIR --push-to-hub user/name, which sends Parquet to the Hugging Face Hub and continues an
interrupted push; or --publish DESTINATION, which publishes what a run with publish=DESTINATION has not. Exit codes: 0
done, 1 if not everything was sent, 2 if there is nothing to export or the destination is unusable.
"""

import argparse
import sys
from collections.abc import Sequence

from synth.batch import results
from synth.exit_codes import TOO_FEW
from synth.paths import argument, argument_or_url
from synth.publishing.destinations import Unpublishable, checked
from synth.publishing.layout import FinalRows
from synth.publishing.publisher import Publisher
from synth.resumption.slices import runs_in
from synth.schedule.publishing import publish_rest
from synth.storage.export import FORMATS, Unexportable, counts, dataset_of, export
from synth.storage.hub import Unpushable, dataset_name, make_ready, push
from synth.storage.manifest import Manifest, Unreadable
from synth.storage.run_folder import InUse, RunFolder
from synth.storage.shard import damage, shard_schema

HELP = """\
examples:
  python -m synth.export runs/magpie --output-dir exported
  python -m synth.export runs/magpie --format sharegpt --output-dir s3://bucket/folder
  python -m synth.export runs/magpie --push-to-hub user/name
  python -m synth.export runs/batch --format openai_batch --output-dir results
  python -m synth.export runs/magpie --publish hub:user/name

Exit codes: 0 done; 1 not everything was sent, run it again; 2 bad input, nothing was written;
3 of an OpenAI batch, some requests have no result yet."""


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
    place.add_argument(
        "--output-dir", type=argument_or_url, metavar="DIR", help="a folder, or a URL such as s3://bucket/folder"
    )
    place.add_argument("--push-to-hub", metavar="USER/NAME", help="a dataset on the Hugging Face Hub")
    place.add_argument(
        "--publish", metavar="URL", help="what a run's publish= has not sent there: hub:user/name, or a URL"
    )
    parser.add_argument(
        "--without-cut", action="store_true", help="leave out rows whose answer max_tokens cut (sharegpt, alpaca)"
    )
    parser.add_argument(
        "--separate-errors", action="store_true", help="of an OpenAI batch: error lines in a file of their own"
    )
    given = parser.parse_args(arguments)
    if given.separate_errors and given.format != results.FORMAT:
        parser.error(f"--separate-errors: is for --format {results.FORMAT}")
    if given.without_cut and (given.output_dir is None or given.format in ("parquet", results.FORMAT)):
        parser.error("--without-cut: is for sharegpt and alpaca; Parquet has the column finish_reason to filter by")
    folder = RunFolder(given.run_dir)
    try:
        if given.output_dir is not None and given.format == results.FORMAT:
            return _export_batch(folder, given.output_dir, given.separate_errors)
        if given.output_dir is not None:
            return _export(folder, given.format, given.output_dir, given.without_cut)
        if given.format != "parquet":
            option = "--publish" if given.push_to_hub is None else "--push-to-hub"
            parser.error(f"{option}: sends Parquet; set --output-dir for other formats")
        return _publish(folder, given.publish) if given.push_to_hub is None else _push(folder, given.push_to_hub)
    except (Unexportable, Unpublishable, Unreadable, InUse, OSError) as error:
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
    except Unpushable as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


def _publish(folder: RunFolder, given: str) -> int:
    try:
        to = checked(given)
    except ValueError as error:
        raise Unpublishable(f"--publish {given}: {error}") from None
    if not folder.manifest.exists():
        raise Unexportable(f"{folder.path}: holds no run, there is no {folder.manifest.name}")
    with folder.locked():
        manifest = Manifest.read(folder)
        if manifest is None or not manifest.summaries:
            raise Unexportable(f"{folder.path}: has no committed shard yet; run its command again")
        for path in manifest.damaged(folder).values():
            raise Unexportable(f"{path}: is {damage(path)}; run the same command again to replace its records")
        publisher = Publisher(folder, to, shard_schema(folder.shard(manifest.summaries[0].index)))
        publisher.check(manifest.wanted)
        if failure := publish_rest(publisher, manifest):
            print(f"failed: {failure}; nothing is lost, run the same command to continue", file=sys.stderr)
            return 1
        final = FinalRows(manifest)
    print(f"{publisher.rows:,} rows are published at {to}")
    if not final.all_there and (later := sum(summary.kept for summary in manifest.summaries) - final.rows):
        print(f"{later:,} rows follow records that are not finished, and wait for them", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
