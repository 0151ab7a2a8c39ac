"""The closing lines of a run: counts, samples, and warnings that matter for training on its rows.

Counts and samples go to standard output; warnings go to the same place as the run's other lines. Columns are read one
by one from disk.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from shlex import quote

from rich.console import Console

from synth.printable import in_a_line
from synth.report.caches import caches, preemption_note
from synth.report.reserved import money
from synth.report.run_data import Run
from synth.report.samples import show_samples
from synth.report.status import short_reasons
from synth.report.strata import short_strata
from synth.steps.strategy import Strategy
from synth.storage.manifest import Unreadable
from synth.strata import FULL, SKIP

MOST_REASONS = 3
LOW_YIELD = 0.5
ENOUGH = 20  # verdicts, before their distribution is judged
NEARLY_ALL = 0.95
# Reasons of rejections for an unreadable verdict.
_UNREADABLE = ("no_verdict", "unparsable_", "unreadable_", "truncated_judgement", "truncated_tags")


class Outcome:
    """The outcome of a run whose merged dataset has `rows` rows, of `wanted`."""

    def __init__(self, run: Run, strategy: Strategy, rows: int, wanted: int, print_line: Callable[[str], None]):
        self._run, self._strategy, self._rows, self._wanted = run, strategy, rows, wanted
        self._print_line = print_line
        self._reasons = run.manifest.reasons

    def _report(self, line: str) -> None:
        self._print_line(in_a_line(line))  # reasons and errors may contain a model's text

    def show(self, seconds: float) -> None:
        console, folder = Console(highlight=False, markup=False), self._run.folder
        console.print(f"{self._counts()}, in {seconds:,.0f} s", soft_wrap=True)
        reserved = self._run.reserved
        if cost := reserved.format_cost():
            each = reserved.cost_of_a_thousand(self._run.counts["kept"])
            console.print(cost if each is None else f"{cost}, {money(each)} per 1,000 kept", soft_wrap=True)
        if self._rows:
            show_samples(console, folder.dataset)
        console.print()
        for note in self._notes():
            self._report(note)
        if self._rows:
            console.print(f"The dataset is in {folder.dataset}", soft_wrap=True)
            console.print(f'  datasets.load_from_disk("{folder.dataset}")', soft_wrap=True)
        if folder.report.exists():
            console.print(f"The report is in {folder.report}", soft_wrap=True)
        if self._reasons:
            example = self._reasons.most_common(1)[0][0].rpartition(": ")[2]
            command = f"python -m synth.inspect {quote(str(folder.path))} --rejected {quote(in_a_line(example))}"
            console.print(f"Rejected rows: {command}", soft_wrap=True)

    def report_too_few(self, min_yield: float | None, tried: bool) -> None:
        """`min_yield` is the bound that was not reached; None: the source has no more records."""
        bound = "the source has no more records"
        if min_yield is not None:
            bound = f"the yield is below min_yield={min_yield:g}"
        if short := short_strata(self._run.strata):
            bound += f", strata are short: {short}"
        why = ", ".join(f"{count:,} {reason}" for reason, count in self._reasons.most_common(MOST_REASONS))
        self._report(f"ended with {self._rows:,} of {self._wanted:,} records, {bound}: {why or 'nothing was rejected'}")
        if not tried:
            self._report(
                "no new record was run: set retry=[REASON,...] to run rejected ones again, lower min_yield to go on, "
                "or choose another output_dir"
            )

    def report_nothing_new(self) -> None:
        """Tells a user who has changed something that the rows are old."""
        wanted = self._run.manifest.wanted
        there = "all records of the source" if wanted is None else f"all {wanted:,} records"
        errors = sum(count for name, count in self._reasons.items() if name.endswith((": error", ": poison")))
        again = f"; set retry=[error,poison] to run {errors:,} of the rejected ones again" if errors else ""
        self._report(f"no new record was run: {self._run.folder.path} already has {there}{again}")

    @property
    def _records(self) -> int:
        return sum(summary.stop - summary.start for summary in self._run.manifest.summaries)

    def _counts(self) -> str:
        """With both numbers if records became several rows."""
        kept, rejected = self._run.counts["kept"], self._run.counts["rejected"]
        lost = f", {rejected:,} rejected{short_reasons(self._reasons)}"
        spare = f" ({kept - self._rows:,} more than asked for)" if kept > self._rows else ""
        if kept + rejected == self._records:
            return f"{self._rows:,} records kept{spare}{lost}"
        return f"{self._rows:,} rows kept{spare}{lost}, of {self._records:,} record{'s' if self._records > 1 else ''}"

    def _notes(self) -> Iterator[str]:
        run, kept, rejected = self._run, self._run.counts["kept"], self._run.counts["rejected"]
        if any(name.endswith(": error") for name in self._reasons):
            with suppress(Unreadable):  # show a bug in a step after the first short run, not only in the report
                yield f"the commonest error: {run.commonest_error()}"
        rejected -= self._reasons[f"{SKIP}: {FULL}"]  # skipped at no cost
        if rejected and kept / (kept + rejected) < LOW_YIELD:
            share = f"{kept / (kept + rejected):.0%}" if kept else "none"
            planned = f", {self._wanted:,} would suffice at a yield of 100 %" if run.manifest.wanted else ""
            yield f"low yield: {share} of the rows were kept; {self._records:,} records were run{planned}"
        with suppress(Unreadable):
            yield from self._cut()
            yield from self._verdicts()
        if note := preemption_note(caches(run.snapshots)):
            yield note

    def _cut(self) -> Iterator[str]:
        ends = self._run.values("kept", "finish_reason")
        answers = sum(count for end, count in ends.items() if end is not None)
        if cut := ends["length"]:
            yield (
                f"cut by max_tokens: {cut:,} of {answers:,} answers ({_percent(cut / answers)}; their finish_reason is "
                "length)"
            )

    def _verdicts(self) -> Iterator[str]:
        """Unreadable verdicts, and judges whose scores are nearly constant."""
        unread = [(name, count) for name, count in self._reasons.most_common() if is_unreadable(name)]
        if unread:
            reasons = ", ".join(f"{count:,} {name}" for name, count in unread)
            yield f"unreadable verdicts: {reasons}; these rows are rejected"
        noted: Counter[str] = Counter()
        for (step, operation), count in self._run.rounds(is_unreadable).items():
            noted[f"{step}: {_verdict(operation)}"] += count
        if noted:
            operations = ", ".join(f"{count:,} {name}" for name, count in noted.most_common())
            yield f"unreadable verdicts: {operations}; see the lineages of these rows"
        for column in self._verdict_columns():
            values = self._run.values("kept", column)
            if missing := values.pop(None, 0):
                yield f"unreadable verdicts: {column} is null in {missing:,} kept rows"
        for column in self._verdict_columns("score"):
            values = self._run.values("kept", column) + self._run.values("rejected", column)
            values.pop(None, None)
            if (same := constant(column, values)) is not None:
                yield same

    def _verdict_columns(self, *ends: str) -> list[str]:
        """Columns of steps that may fail to read a model's verdict."""
        found = [
            name for step in self._strategy.steps if hasattr(step.function, "on_failure") for name in step.columns or {}
        ]
        return [name for name in found if not name.endswith("_reason") and (not ends or name.endswith(ends))]


def constant(column: str, values: Mapping[object, int]) -> str | None:
    """A warning about verdicts that are nearly all equal, else None."""
    total = sum(values.values())
    value, count = Counter(values).most_common(1)[0] if total else (None, 0)
    if total < ENOUGH or count < NEARLY_ALL * total:
        return None
    return f"{column} is nearly constant: it is {value} in {count:,} of {total:,} verdicts"


def is_unreadable(reason: str) -> bool:
    """Whether a rejection `step: reason`, or a lineage's operation `eliminated: reason (operation)`, is due to an
    unreadable verdict."""
    return _verdict(reason).startswith(_UNREADABLE)


def _verdict(noted: str) -> str:
    return noted.rpartition(": ")[2].partition(" (")[0]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "under 1%"
