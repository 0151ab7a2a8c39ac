"""Measures a run: the engine-seconds per kept record of each model, from metrics.jsonl.

The pace is that of full batches: filling and emptying them at the ends of a short run is negligible in a long one. If
the batch was never full, all time counts, and the pace is a lower bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from synth.records import Spent
from synth.report.by_model import by_main
from synth.report.run_data import Run
from synth.report.throughput import PAUSE_S, Span
from synth.steps.endpoints import MAIN

FULL = 0.8  # of the most requests that an engine ever ran
NEEDED = {"time", "replicas_ready", "completion_tokens", "running", "waiting"}

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Pace:
    """Of one engine: `seconds` per kept record, rejected ones included, with tokens `read` and `generated`. `at_once`
    is the most concurrent requests, and `filled` whether requests queued. If the batch was never full for a while, the
    pace is not `full`, and `seconds` is an upper bound."""

    seconds: float
    read: float
    generated: float
    at_once: float
    filled: bool
    full: bool


@dataclass(frozen=True)
class Measured:
    """`kept_share` is kept rows per record; `of` the paces of the models, main first; `start_s` the load time of main's
    engine (None: unknown). `gpus` is the mean number of GPUs per engine."""

    run: Run
    kept_share: float
    of: Mapping[str, Pace]
    start_s: float | None
    gpus: float


def measured(run: Run) -> Measured | None:
    """None if the run has too little data."""
    summaries = run.manifest.summaries
    kept = sum(summary.kept for summary in summaries)
    lines = [snapshot for snapshot in run.snapshots if snapshot.keys() >= NEEDED]
    if not kept:
        return None
    if run.models:
        spent = {MAIN: by_main(run.snapshots), **run.models}
    else:  # its rows have exact token counts
        read, generated = (
            sum(getattr(summary, name) for summary in summaries) for name in ("prompt_tokens", "completion_tokens")
        )
        spent = {MAIN: Spent(0, read, 0, generated)}
    of = {name: _pace(_lines_of(name, lines), one, kept) for name, one in spent.items()}
    if of[MAIN] is None:
        return None
    return Measured(
        run,
        kept_share=kept / sum(summary.stop - summary.start for summary in summaries),
        of={name: pace for name, pace in of.items() if pace},
        start_s=_start(lines),
        gpus=run.reserved.gpu_seconds / max(1e-9, run.reserved.replica_seconds),
    )


def _lines_of(name: str, lines: Sequence[Line]) -> list[Line]:
    """The lines of main, or equivalent ones of another model. For a model that generates nothing, prompt tokens
    count."""
    if name == MAIN:
        return list(lines)
    found = [(line["time"], stats) for line in lines if (stats := (line.get("models") or {}).get(name))]
    writes = any(stats["completion_tokens"] for _, stats in found)
    tokens = "completion_tokens" if writes else "prompt_tokens"
    return [
        {
            "time": time,
            "replicas_ready": stats["engines_ready"],
            "completion_tokens": stats[tokens],
            "running": stats["running"],
            "waiting": stats["waiting"],
        }
        for time, stats in found
    ]


def _pace(lines: Sequence[Line], spent: Spent, kept: int) -> Pace | None:
    pairs = [pair for pair in pairwise(lines) if pair[0]["replicas_ready"]]
    spans = [(span, _running(*pair)) for pair in pairs if (span := Span(*pair)).whole and span.gap]
    if not sum(span.tokens for span, _ in spans):
        return None
    most = max(before["running"] / before["replicas_ready"] for before, _ in pairs)
    filled = any(before["waiting"] for before, _ in pairs)
    steady = [span for span in spans if span[1] >= FULL * most] if filled else []
    rate = sum(span.tokens for span, _ in steady or spans) / sum(span.engine_seconds for span, _ in steady or spans)
    tokens = spent.completion_tokens or spent.prompt_tokens
    read, generated = spent.prompt_tokens / kept, spent.completion_tokens / kept
    return Pace(tokens / kept / rate, read, generated, most, filled, bool(steady))


def _start(lines: Sequence[Line]) -> float | None:
    """Seconds until the first engine ran; None if that was before the first line."""
    began = lines[0]["time"]
    for before, after in pairwise(lines):
        if before["replicas_ready"]:
            break
        if after["time"] - before["time"] > PAUSE_S:
            began = after["time"]  # another process
        if after["replicas_ready"]:
            return float(after["time"] - began)
    return None


def _running(before: Line, after: Line) -> float:
    """Requests that ran in each engine throughout the time between two lines."""
    return float(min(before["running"], after["running"]) / before["replicas_ready"])
