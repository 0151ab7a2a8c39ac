"""Shows a run in the terminal: synth show RUN_DIR [--rows N] [--rejected REASON], or python -m synth.inspect.

Counts, yield by reason, lengths, labels, tokens and some rows, of what is committed; the run may be running. With a
reason, rows rejected for it. For a run in slices, the progress of each. Control characters in text of models and seeds
are escaped. Exit codes: 0 done, 2 if the folder can't be read.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from synth.errors import nearest
from synth.paths import argument
from synth.printable import printable
from synth.records import Slice, Spent
from synth.report.charts import number
from synth.report.figures import Cost, Figures, measure
from synth.report.page import duration, percent
from synth.report.reserved import money
from synth.report.run_data import Run
from synth.report.samples import show_rows
from synth.report.strata_table import strata_table
from synth.report.throughput import throughput
from synth.storage.manifest import Unreadable
from synth.storage.run_folder import RunFolder

HELP = """\
examples:
  python -m synth.inspect runs/magpie --rows 10
  python -m synth.inspect runs/magpie --rejected repetition

Exit codes: 0 done; 2 the folder can't be read."""
BAR = 24
WIDE = 1000
MOST_LABELS = 6


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m synth.inspect",
        description="Show what is in a run's folder: rows, yield, costs, columns and some samples. Loads no model.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=argument, metavar="RUN_DIR", help="also while the run goes on")
    parser.add_argument("--rows", type=int, default=3, metavar="N", help="rows to show, evenly spaced (default: 3)")
    parser.add_argument(
        "--rejected", metavar="REASON", help="rows rejected for it, such as low_score, or judge: low_score for one step"
    )
    given = parser.parse_args(arguments)
    # Piped output is searched by lines, so lines are not wrapped.
    console = console or Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)
    folder = RunFolder(given.run_dir)
    try:
        if folder.slices() and not folder.manifest.exists():
            _show_slices(console, folder)
        else:
            run = Run.open(given.run_dir)
            run.refuse_damage()
            if given.rejected is None:
                _show(console, run, measure(run), max(0, given.rows))
            else:
                _refuse_unknown(given.rejected, run)
                show_rows(console, run.rejected(given.rejected, max(0, given.rows)))
    except Unreadable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _show(console: Console, run: Run, figures: Figures, rows: int) -> None:
    console.print(Text.assemble((printable(run.strategy), "bold"), f" in {printable(str(run.folder.path))}"))
    _section(console, "", _facts(run, figures))
    if run.strata:
        _section(console, "strata", strata_table(run.strata))
    if figures.total.rows:
        _section(console, "yield", _yield(run, figures))
        if figures.spent:
            _section(console, "spent at each step", _steps(run, figures))
        if run.models:
            _section(console, "models beside main", _models(run))
        _section(console, "of kept rows", _values(figures))
    show_rows(console, run.rows("kept", rows))


def _refuse_unknown(reason: str, run: Run) -> None:
    """Raises Unreadable for a reason without rejected rows."""
    reasons = run.manifest.reasons
    known = {name.rpartition(": ")[2] for name in reasons}
    if reason not in known and reason not in reasons:
        raise Unreadable(f"--rejected: no row was rejected as {reason!r}{nearest(reason, known)}")


def _section(console: Console, title: str, table: Table) -> None:
    console.print()
    if title:
        console.print(Text(title, "bold"))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _show_slices(console: Console, folder: RunFolder) -> None:
    runs = {one: Run.open(part.path) for one, part in folder.slices().items() if part.manifest.exists()}
    if not runs:
        raise Unreadable(f"{folder.path}: none of its slices has begun")
    for one in runs.values():
        one.refuse_damage()
    first = next(iter(runs.values()))
    console.print(Text.assemble((printable(first.strategy), "bold"), f" in {printable(str(folder.path))}, in slices"))
    table = Table.grid(padding=(0, 2))
    for _ in range(5):
        table.add_column(justify="right")
    table.add_row(*(Text(head, "dim") for head in ("slice", "kept", "of", "rejected", "in journals")))
    for slice in Slice.all_of(runs):
        run = runs.get(slice)
        cells = ["not begun"]
        if run is not None:
            wanted = "all" if run.manifest.wanted is None else f"{run.manifest.wanted:,}"
            cells = [f"{run.counts['kept']:,}", wanted, f"{run.counts['rejected']:,}", f"{run.unfinished:,}"]
        table.add_row(str(slice), *cells)
    _section(console, "", table)
    console.print(f"\nTo merge them: python -m synth.merge {printable(str(folder.path))}")


def _facts(run: Run, figures: Figures) -> Table:
    pace, spent, kept = throughput(run.snapshots), figures.total.usage, figures.kept.rows
    table = _grid()
    wanted = run.manifest.wanted
    planned = "" if wanted and kept >= wanted else f" of {len(run.manifest.shards):,}"
    shards = f"{len(run.manifest.committed):,}{planned} committed"
    journals = f"; {run.unfinished:,} more records finished, in journals" if run.unfinished else ""
    facts = {
        "model": run.model,
        "seed": str(run.manifest.identity.get("seed")),
        "begun": run.manifest.created[:16].replace("T", " "),
        **_made_by(run),
        "shards": shards + journals,
        "rows": f"{kept:,} kept{f' of {wanted:,} asked for' if wanted else ''}, {figures.wasted.rows:,} rejected",
        "instructions": f"{figures.distinct:,} different",
        "tokens": f"{spent.completion_tokens:,} generated, {spent.prompt_tokens:,} prompt tokens, "
        f"{spent.cached_tokens:,} of them cached",
        "cost per kept row": _a_kept_row(figures) if kept else "–",
        "throughput": f"{spent.completion_tokens / pace.engine_seconds:,.0f} tokens/s and "
        f"{kept / pace.engine_seconds:.3g} kept rows/s per engine, over {duration(pace.engine_seconds)}"
        if pace.engine_seconds
        else "not measured",
        "reserved": _reserved(run, kept),
        "on disk": f"{run.bytes_on_disk() / 1e6:,.1f} MB",
    }
    for name, fact in facts.items():
        table.add_row(Text(name, "dim"), Text(printable(fact)))
    return table


def _made_by(run: Run) -> dict[str, str]:
    """Rows by configuration, if there are several."""
    first = run.made_by[0]
    parts = [
        f"{one.rows:,} rows by {one.configuration.model} (records {one.numbers})"
        + ("" if one is first else f", {one.unlike(first)}")
        for one in run.made_by
    ]
    return {"made by": "; ".join(parts)} if len(parts) > 1 else {}


def _yield(run: Run, figures: Figures) -> Table:
    table = _grid(4)
    outcomes = {"kept": figures.kept}
    outcomes |= {f"{step}: {reason}": cost for (step, reason), cost in figures.rejected.items()}
    table.add_row("", "", *(Text(head, "dim") for head in ("rows", "share", "tokens", "engine-s")))
    for name, cost in outcomes.items():
        bar, share = _bar(cost, figures.total), percent(cost.rows / figures.total.rows)
        tokens, seconds = f"{cost.usage.completion_tokens:,}", _seconds(figures.spent_on(name))
        table.add_row(Text(printable(name)), bar, f"{cost.rows:,}", share, tokens, seconds)
    return table


def _steps(run: Run, figures: Figures) -> Table:
    """For kept rows on the left, for rejected rows on the right."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    for _ in range(6):
        table.add_column(justify="right")
    heads = ("kept: calls", "tokens", "engine-s", "rejected: calls", "tokens", "engine-s")
    table.add_row("", *(Text(head, "dim") for head in heads))
    for step, both in figures.spent_at(run.steps).items():
        cells = [(f"{one.calls:,}", f"{one.completion_tokens:,}", _seconds(one)) for one in both]
        table.add_row(Text(printable(step)), *cells[0], *cells[1])
    return table


def _models(run: Run) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    for _ in range(3):
        table.add_column(justify="right")
    table.add_row("", *(Text(head, "dim") for head in ("prompt tokens", "generated", "engine-s")))
    for name, one in run.models.items():
        parts = (f"{one.prompt_tokens:,}", f"{one.completion_tokens:,}", f"{one.engine_seconds:,.1f}")
        table.add_row(Text(printable(name)), *parts)
    return table


def _a_kept_row(figures: Figures) -> str:
    kept, spent = figures.kept.rows, figures.spent_on()
    tokens = figures.total.usage.completion_tokens / kept
    seconds = number(spent.engine_seconds / kept)
    return f"{tokens:,.0f} tokens and {seconds} engine-seconds, including rejected rows"


def _reserved(run: Run, kept: int) -> str:
    """What a cluster charges for."""
    reserved = run.reserved
    if not reserved.replica_seconds:
        return "not measured"
    parts = [f"{reserved.replica_seconds / 3600:,.3g} engine-hours"]
    parts += [f"{reserved.gpu_seconds / 3600:,.3g} GPU-hours"] if reserved.gpu_seconds else ["no GPU"]
    if cost := reserved.format_cost():
        parts.append(cost)
    if (each := reserved.cost_of_a_thousand(kept)) is not None:
        parts.append(f"{money(each)} per 1,000 kept rows")
    return ", ".join(parts)


def _seconds(spent: Spent) -> str:
    return f"{spent.engine_seconds:,.1f}"


def _values(figures: Figures) -> Table:
    table = _grid()
    for name, values in (figures.lengths | figures.numbers).items():
        if len(values):
            low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
            unit = " characters" if name in figures.lengths else ""
            spread = f"median {number(middle)}{unit}, 90 % from {number(low)} to {number(high)}"
            table.add_row(Text(printable(name), "dim"), Text(spread))
    for name, counts in (figures.labels | {"messages per row": figures.turns}).items():
        table.add_row(Text(printable(name), "dim"), Text(_counts(counts)))
    return table


def _counts(counts: Counter[str | None]) -> str:
    shown = [
        f"{'null' if label is None else printable(label)} {count:,}" for label, count in counts.most_common(MOST_LABELS)
    ]
    return ", ".join([*shown, *(["…"] if len(counts) > MOST_LABELS else [])])


def _bar(part: Cost, whole: Cost) -> Text:
    """At least one character for a share above 0."""
    return Text("█" * max(min(part.rows, 1), round(BAR * part.rows / whole.rows)))


def _grid(numbers: int = 0) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(overflow="fold")
    for _ in range(numbers):
        table.add_column(justify="right")
    return table


if __name__ == "__main__":
    sys.exit(main())
