"""The table of first_gpu.sh: `python benchmarks/first_gpu_table.py FOLDER`. Needs nothing but Python."""

import json
import sys
from pathlib import Path

COLUMNS = ("what", "arm", "tokens/s", "start s", "cache", "preempted", "again", "same alone")


def table(folder: Path) -> str:
    """The last figures of each measurement, and how each step ended."""
    rows: dict[tuple[str, str], list[str]] = {}
    results = folder / "results.jsonl"
    for line in results.read_text().splitlines() if results.exists() else []:
        found = json.loads(line)
        rows[found["what"], found["arm"]] = [_told(found.get(name)) for name in COLUMNS]
    lines = [list(COLUMNS), *rows.values()] if rows else []
    widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))] if lines else []
    result = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    steps = folder / "steps.tsv"
    ends = {one[0]: one for line in steps.read_text().splitlines() if len(one := line.split("\t")) == 3}
    return "\n".join([*result, *[f"{name:11} {seconds:>5} s  {ended}" for name, seconds, ended in ends.values()]])


def _told(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
