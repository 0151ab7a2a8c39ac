"""The report by hand: python -m synth.report RUN_DIR [OTHER_RUN_DIR] [--output FILE].

One HTML file that opens offline: RUN_DIR/report.html, or of two runs beside one another RUN_DIR/comparison.html.
A run that still goes on is reported as far as its shards are committed. Exit codes: 0 done, 2 when a folder can't be
read or the file can't be written.
"""

import argparse
import sys
from collections.abc import Sequence

from synth.paths import argument
from synth.report.page import write_report
from synth.report.run_data import Run
from synth.storage.manifest import Unreadable


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m synth.report", description="Write a report of one run, or of two.")
    parser.add_argument("run_dir", type=argument, metavar="RUN_DIR")
    parser.add_argument("other", type=argument, nargs="?", metavar="OTHER_RUN_DIR", help="a second run to compare with")
    parser.add_argument(
        "--output", type=argument, metavar="FILE", help="default: RUN_DIR/report.html or comparison.html"
    )
    given = parser.parse_args(arguments)
    name = "comparison.html" if given.other else "report.html"
    output = given.output or given.run_dir / name
    try:
        runs = [Run.open(path) for path in (given.run_dir, given.other) if path]
        for run in runs:
            run.refuse_damage()
        write_report(output, runs)
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {output} can't be written ({error.strerror})", file=sys.stderr)
        return 2
    print(f"The report is in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
