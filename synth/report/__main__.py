"""Writes the report: python -m synth.report RUN_DIR [RUN_DIR ...] [--output FILE].

One HTML file that opens offline: RUN_DIR/report.html, or for several runs a comparison, comparison.html in the first
one's folder; its table is also printed. The report of a running run covers its committed shards. Exit codes: 0 done, 2
if a folder can't be read or the file can't be written.
"""

import argparse
import sys
from collections.abc import Sequence

from synth.paths import argument
from synth.report.comparison import Comparison
from synth.report.page import write_report
from synth.report.run_data import Run
from synth.storage.manifest import Unreadable

HELP = """\
examples:
  python -m synth.report runs/magpie
  python -m synth.report runs/magpie runs/magpie-2 runs/other --output compared.html

Exit codes: 0 done; 2 a folder can't be read, or the file can't be written."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m synth.report",
        description="Write a report of one run, or of several side by side, as one HTML file that opens offline.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dirs", type=argument, nargs="+", metavar="RUN_DIR", help="any number of runs' folders")
    parser.add_argument(
        "--output", type=argument, metavar="FILE", help="default: report.html or comparison.html in the first RUN_DIR"
    )
    given = parser.parse_args(arguments)
    name = "comparison.html" if len(given.run_dirs) > 1 else "report.html"
    output = given.output or given.run_dirs[0] / name
    try:
        runs = [Run.open(path) for path in given.run_dirs]
        for run in runs:
            run.refuse_damage()
        comparison = Comparison.of(runs) if len(runs) > 1 else None
        write_report(output, runs, comparison)
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {output} can't be written ({error.strerror})", file=sys.stderr)
        return 2
    for line in comparison.lines() if comparison else ():
        print(line)
    print(f"The report is in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
