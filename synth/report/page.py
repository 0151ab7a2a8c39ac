"""The HTML report of a run, or a comparison of several: one self-contained file without network access.

Promises: text from models, seeds and configuration is escaped everywhere, control characters are visible, and a content
security policy permits only the page's own script, by its hash, and no loading. Charts from a sample say so, with its
size. Charts of several runs have one scale.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synth.printable import printable
from synth.report import charts
from synth.report.browser_rows import LONGEST, as_json, rows_of
from synth.report.caches import caches
from synth.report.comparison import GROUPS, Comparison, letter
from synth.report.diversity import Diversity, diversity, instructions
from synth.report.figures import Figures, flat, measure
from synth.report.reserved import money
from synth.report.run_data import Run
from synth.report.soundness import FACTS
from synth.report.throughput import Throughput, throughput
from synth.steps.prompts import LABELS
from synth.storage.run_folder import atomic_write, written_over

_FOLDER = Path(__file__).parent / "page"
MOST_DIFFERENCES = 200
SIMILARITIES = np.linspace(0, 1, 21)
Drawn = dict[str, list[list[charts.Bar] | None]]
_SERIES = {
    "tokens_per_second": "completion tokens/s",
    "running": "requests running",
    "waiting": "requests waiting",
    "cache_usage": "KV cache usage",
    "kept": "rows kept",
}


def write_report(path: Path, runs: Sequence[Run], comparison: Comparison | None = None) -> None:
    """Raises Unreadable if a run can't be read, OSError if the file can't be written or is someone else's."""
    if path == runs[0].folder.report:  # the run's own file is always overwritten
        _write(path, report(runs))
    else:
        write_page(path, runs, _mark(runs[0]), comparison)


def write_page(
    path: Path, runs: Sequence[Run], mark: str, comparison: Comparison | None = None, best: str | None = None
) -> None:
    """The same, replacing only an earlier page with this mark. `best` are the best run's settings as overrides."""
    _write(written_over(path, mark), report(runs, mark, comparison, best))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _mark(run: Run) -> str:
    """Identifies a report of this run."""
    return f"Synth report of {run.manifest.fingerprint}"


def report(
    runs: Sequence[Run], mark: str | None = None, comparison: Comparison | None = None, best: str | None = None
) -> str:
    """The page, with its mark. Raises Unreadable."""
    measured = [measure(run) for run in runs]
    paces = [throughput(run.snapshots) for run in runs]
    varied = [diversity(instructions(run)) for run in runs]
    script = (_FOLDER / "browser.js").read_text(encoding="utf-8")
    views = [_view(letter(place), *one) for place, one in enumerate(zip(runs, measured, paces, varied, strict=True))]
    if len(runs) > 1 and comparison is None:
        comparison = Comparison.of(runs)
    rows = rows_of(runs)
    return _environment().get_template("report.html.jinja").render(
        runs=views,
        shown=Counter((row["run"], row["kept"]) for row in rows),
        comparison=comparison,
        best=best,
        data=Markup(as_json(rows)),
        script=Markup(script),
        mark=mark or _mark(runs[0]),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
        lengths=_histograms([figures.lengths for figures in measured]),
        numbers=_histograms([figures.numbers for figures in measured]),
        labels=_labels([_all_labels(figures) for figures in measured]),
        nearest=_histograms([{"nearest": one.nearest} for one in varied], SIMILARITIES)["nearest"],
        lines=_lines(paces),
        differences=comparison.settings[:MOST_DIFFERENCES] if comparison else [],
        groups=GROUPS,
        facts=FACTS,
        longest=LONGEST,
    )  # fmt: skip


def _view(letter: str, run: Run, figures: Figures, pace: Throughput, varied: Diversity) -> dict[str, Any]:
    rejected = {key: cost.rows for key, cost in figures.rejected.items()}
    arcs, shown = charts.sunburst(varied.verbs)
    kept, total, spent = figures.kept.rows, figures.total, figures.spent_on()
    return {
        "letter": letter,
        "run": run,
        "figures": figures,
        "total": total,
        "yield": kept / total.rows if total.rows else None,
        "flow": charts.flow(run.steps, rejected, kept),
        "varied": varied,
        "arcs": arcs,
        "arcs_shown": shown,
        "pace": pace,
        "tokens_per_kept": total.usage.completion_tokens / kept if kept else None,
        "goodput": kept / pace.engine_seconds if pace.engine_seconds else None,
        "mean_rate": total.usage.completion_tokens / pace.engine_seconds if pace.engine_seconds else None,
        "costs": flat(figures.rejected),
        "spent": spent,
        "steps": figures.spent_at(run.steps),
        "seconds_per_kept": spent.engine_seconds / kept if kept else None,
        "reserved": run.reserved,
        "caches": caches(run.snapshots).numbers,
        "quantiles": {name: _quantiles(one) for name, one in (figures.lengths | figures.numbers).items()},
        "nearest": _quantiles(varied.nearest),
        "close": float(np.mean(varied.nearest >= 0.7)) if len(varied.nearest) else None,
    }


def _quantiles(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {"mean": float(values.mean()), "p5": float(low), "median": float(middle), "p95": float(high)}


def _histograms(runs: Sequence[Mapping[str, np.ndarray]], bounds: np.ndarray | None = None) -> Drawn:
    """Each run's bars by name; on one scale."""
    drawn: Drawn = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run[name] for run in runs if len(run.get(name, ()))]
        ends = bounds if bounds is not None else charts.edges(values) if values else np.empty(0)
        top = charts.tallest(values, ends) if values else 0.0
        drawn[name] = [charts.histogram(run[name], ends, top) if len(run.get(name, ())) else None for run in runs]
    return drawn


def _all_labels(figures: Figures) -> dict[str, Counter[str | None]]:
    return figures.labels | {"messages per row": figures.turns, "lineage operations": figures.operations}


def _labels(runs: Sequence[Mapping[str, Counter[str | None]]]) -> Drawn:
    """Each run's bars by name, labels in the order of the shipped list, else by frequency."""
    drawn: Drawn = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        together: Counter[str | None] = sum((run.get(name, Counter()) for run in runs), Counter())
        if not together:
            continue
        shipped = LABELS.get(name.removeprefix("task_"), ())
        order = [label for label, _ in together.most_common()]
        if set(order) - {None} <= set(shipped) and name in ("quality", "difficulty"):
            order = [label for label in (*shipped, None) if label in together]
        top = max(count / run[name].total() for run in runs if run.get(name) for count in run[name].values())
        drawn[name] = [_label_bars(run[name], order, top) if run.get(name) else None for run in runs]
    return drawn


def _label_bars(counts: Counter[str | None], order: Sequence[str | None], top: float) -> list[charts.Bar]:
    """`top` is the share that has full length."""
    total = counts.total()
    return [charts.Bar(counts[one] / total / top, counts[one], "null" if one is None else one) for one in order]


def _lines(paces: Sequence[Throughput]) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = []
    for name, title in _SERIES.items():
        top = max((float(pace.series[name].max()) for pace in paces if len(pace.seconds)), default=0.0)
        paths = [
            charts.line(pace.seconds, pace.series[name], top) if top and len(pace.seconds) > 1 else None
            for pace in paces
        ]
        if any(paths):
            drawn.append({"title": title, "top": top, "paths": paths, "share": name == "cache_usage"})
    return drawn


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        # Markup has been escaped here before.
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "full": charts.full_count,
        "count": lambda value: f"{value:,}",
        "number": lambda value: "–" if value is None else charts.number(value),
        "percent": lambda value: "–" if value is None else percent(value),
        "duration": duration,
        "money": money,
        "setting": lambda value: "null" if value is None else str(value),
        "short": lambda value: value if len(value) <= 300 else f"{value[:300]}…",
    }
    return environment


def percent(share: float) -> str:
    """Whole percents, with a decimal near 0 and 100."""
    return f"{share:.0%}" if share in (0, 1) or 0.1 <= share <= 0.9 else f"{share:.1%}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
