"""A run from configuration to dataset: open the folder, start the cluster, schedule, merge, report.

Promises: invalid input is refused before anything is started; a run that ends early for any reason reports where its
finished records are, and the same command resumes it.
"""

import asyncio
import logging
import math
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from synth.components.source_code import source_code
from synth.configuration.chat_templates import refuse_bad_chat_template
from synth.configuration.config import Config
from synth.engines import EngineError
from synth.errors import ConfigError
from synth.exit_codes import DONE, FAILED, STOPPED, TOO_FEW
from synth.preview.dry_run import at_most, describe_source
from synth.preview.machines import kernels
from synth.preview.missing import refuse_what_is_missing
from synth.preview.servers import refuse_what_servers_refuse
from synth.publishing.publisher import Publisher
from synth.quality.duplicates import parts_for
from synth.records import Shard
from synth.report.outcome import Outcome
from synth.report.page import write_report
from synth.report.progress import Progress
from synth.report.prometheus import Exported
from synth.report.run_data import Run
from synth.report.tracking import Tracking, refuse_missing
from synth.resumption.opening import opened
from synth.resumption.resume import plan_of
from synth.schedule.autoscaler import Autoscaler
from synth.schedule.background import asked, beside, kept_up
from synth.schedule.capacity import Capacity
from synth.schedule.cluster import capacity_after, connected
from synth.schedule.dedup_processes import DedupProcesses
from synth.schedule.engine_pool import Pools
from synth.schedule.first_records import FirstRows, StepsFail
from synth.schedule.metrics_collector import MetricsCollector
from synth.schedule.placed_process import REMOVAL_S
from synth.schedule.plan import Plan
from synth.schedule.pool import PoolProcess
from synth.schedule.publishing import begin, finish, keep_published, publisher_of
from synth.schedule.ray_life import RayLost, until_lost
from synth.schedule.ray_worker import RayWorker
from synth.schedule.scheduler import Scheduler
from synth.schedule.shared import SharedProcess
from synth.schedule.signals import Stop, stop_signals
from synth.schedule.watchdog import BlockedSteps
from synth.schedule.worker_handle import WorkerHandle, WorkerLost
from synth.sources.store import Contents
from synth.storage.card import write_card
from synth.storage.hub import Unpushable, make_ready, push
from synth.storage.journal import finished_numbers, owner_of
from synth.storage.manifest import Manifest
from synth.storage.merge import merge
from synth.storage.run_folder import RunFolder, atomic_write
from synth.storage.shard import ShardSummary

log = logging.getLogger("synth")

MANIFEST_INTERVAL_S = 5.0
MANIFEST_SHARE = 0.02  # of the time, at most, for writing it: shards carry the information it lacks meanwhile
CALLS = 10_000  # to the pool at once


def run(config: Config) -> int:
    """Generate the dataset. Returns the exit code; raises ConfigError if nothing has been started."""
    if config.source:
        config.source.stamp()  # missing files are reported before the folder is created
    if config.settings.tracking:
        refuse_missing(config.settings.tracking)
    for model in config.templated.values():
        if not model.is_here:
            print(f"downloading the tokenizer of {model.path} from the Hub", file=sys.stderr)
            with suppress(OSError, ValueError):  # reported below, for its tokenizer
                _ = model.config  # now in the cache
    refuse_what_is_missing(config)
    hub = config.settings.push_to_hub
    with opened(config) as place:
        if hub:
            _make_ready(hub)
        publisher = publisher_of(config, place.folder, place.manifest)
        code = asyncio.run(_Run(config, *place, publisher=publisher).finish())
        if code in (DONE, TOO_FEW):
            _let_signals_interrupt()
        published = finish(publisher, place.folder, place.manifest, code) if publisher else code
        pushed = _push(place.folder, hub, code) if hub else code
        return published if pushed == DONE else pushed


def _let_signals_interrupt() -> None:
    """Like Ctrl-C: the same command continues what is sent."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler)


def _make_ready(hub: str) -> None:
    try:
        make_ready(hub)
    except Unpushable as error:
        raise ConfigError(f"push_to_hub: {error}") from None


def _push(folder: RunFolder, hub: str, code: int) -> int:
    """The run's own exit code, unless it has succeeded and the push fails."""
    if code == TOO_FEW:
        print(f"not pushed; run python -m synth.export {folder.path} --push-to-hub {hub} to push", file=sys.stderr)
    if code != DONE:
        return code
    print(f"pushing to {hub}", file=sys.stderr)
    try:
        print(f"pushed to {push(folder, hub)}", file=sys.stderr)
    except Unpushable as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED
    return DONE


class _Run:
    """One process of a run, from its opened folder to the exit code."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        manifest: Manifest,
        contents: Contents,
        begin: Callable[[], None],
        publisher: Publisher | None,
    ):
        self._config, self._folder, self._manifest, self._contents = config, folder, manifest, contents
        self._write_down, self._begun = begin, False
        self._publisher = publisher
        self._wanted = manifest.own(contents.size) or 0 if manifest.wanted is None else manifest.wanted
        self._progress = Progress(folder.metrics)
        self._next_manifest = 0.0
        self._first = FirstRows()
        self._started = time.monotonic()

    async def finish(self) -> int:
        kind = self._config.settings.tracking
        with self._progress.warnings_of(log):
            if kind is None:
                return await self._make()
            tracking = Tracking(kind, self._folder, self._manifest, self._config.resolved)
            self._progress.followers.append(tracking)
            code = FAILED
            try:
                code = await self._make()
            finally:
                await asyncio.to_thread(tracking.end, code)
            return code

    async def _make(self) -> int:
        with self._progress:
            with stop_signals(self._progress.print_line) as stopping:
                try:
                    plan = self._plan(1)
                    tried = not (plan.done or plan.hopeless)
                    if tried:
                        plan = await self._schedule(stopping)
                    else:
                        self._begin_nothing()
                    self._manifest.write(self._folder)
                    if stopping.signal and not plan.done:
                        self._progress.print_line(
                            f"stopped by {stopping.signal}: {self._watch.last.kept:,} records kept so far are safe in "
                            f"{self._folder.path}; run the same command again to resume"
                        )
                        return STOPPED
                    with self._progress.doing("merging the shards"):
                        rows = await asyncio.to_thread(self._merge)
                except (RayLost, StepsFail, WorkerLost, EngineError, OSError) as error:
                    with suppress(OSError):  # the disk may be full: the shards' own notes suffice
                        self._begin()
                        self._manifest.write(self._folder)
                    reason = error.strerror if isinstance(error, OSError) else None
                    self._progress.print_line(f"failed: {reason or error}")
                    self._progress.print_line(
                        f"finished records are safe in {self._folder.path}; logs are in {self._folder.logs}"
                    )
                    return FAILED
            with self._progress.doing("writing the report"):
                self._report()
        run = Run(self._folder, self._manifest)
        outcome = Outcome(run, self._config.strategy, rows, self._wanted, self._progress.print_line)
        outcome.show(time.monotonic() - self._started)
        if plan.done and (rows or not self._wanted):
            if not tried:
                outcome.report_nothing_new()
            return DONE
        outcome.report_too_few(None if plan.exhausted else self._config.settings.min_yield, tried)
        return TOO_FEW

    def _begin(self) -> None:
        """Nothing can refuse the run any more: from here on its folder is written to."""
        if not self._begun:
            self._begun = True
            self._write_down()
            self._progress.before = Run(self._folder, self._manifest).reserved
            if self._contents.bad_rows:
                self._progress.print_line(
                    f"source: {describe_source(self._config, self._contents)}, see {self._folder.source}"
                )

    def _begin_nothing(self) -> None:
        """A configuration that adds no row is not recorded in the folder."""
        config = self._folder.config
        before = config.read_text() if self._manifest.withdraw() and config.exists() else None
        self._begin()
        if before is not None:
            with atomic_write(config) as unfinished:
                unfinished.write_text(before)

    async def _schedule(self, stopping: Stop) -> Plan:
        config = self._config
        if config.all_models.keys() - config.templated.keys():
            with self._progress.doing("testing the chat API"):
                await refuse_what_servers_refuse(config)
        async with AsyncExitStack() as ray:
            # Ray's start and loading the tokenizer take seconds each, so they run concurrently.
            starting = asyncio.create_task(
                ray.enter_async_context(connected(config.cluster, config.engine, config.pools))
            )
            try:
                await asyncio.to_thread(refuse_bad_chat_template, config)
            except BaseException:
                # Let the stack end Ray; its own error does not matter beside this one.
                await asyncio.gather(starting, return_exceptions=True)
                raise
            with self._progress.doing("starting Ray"):
                capacity = await starting
            if self._publisher and (rows := await begin(self._publisher, self._manifest)):
                self._progress.print_line(f"publish: {rows:,} rows of this run are at {self._publisher.to}")
            self._begin()
            self._log_capacity(capacity)
            if lacking := kernels(config):
                self._progress.print_line(f"kernels: {lacking}")
            plan = self._plan(capacity.replicas)
            pool, claims = await beside(self._shared(), self._lost_ray())
            run_dir, fingerprint = self._folder.path.absolute(), self._manifest.fingerprint
            earlier = [one.fingerprint for one in self._manifest.earlier]
            code = source_code(config.identity())
            pools = Pools(config, run_dir, capacity)
            autoscaler = Autoscaler(capacity, config.autoscaled, self._log_capacity)

            def spawn(index: int) -> WorkerHandle:
                given = (config, run_dir, fingerprint, index, capacity.placement, pool, claims, earlier, code, pools)
                return RayWorker(*given, node=autoscaler.node(index))

            ordered = pool is not None or claims is not None
            scheduler = Scheduler(
                plan, capacity.replicas, spawn, self._on_commit, unfinished=self._unfinished, ordered=ordered
            )
            autoscaler.follow(scheduler, pools)
            exports = config.cluster.address is not None or config.cluster.metrics_port is not None
            followers = [Exported(self._folder.path.resolve().name)] if exports else []
            self._progress.followers += followers
            metrics = self._watch = MetricsCollector(
                scheduler,
                plan,
                self._manifest,
                wanted=self._wanted,
                gpus=capacity.placement.gpus,
                price=config.settings.price_per_gpu_hour,
                prices=config.prices,
                longest=math.inf if isinstance(bounds := at_most(config), str) else bounds[1],
                blocked=BlockedSteps(self._folder.blocked),
                pools=pools,
                at_once=config.at_once,
            )
            try:
                await beside(
                    scheduler.run(),
                    kept_up("the display", lambda: metrics.collect(self._progress)),
                    kept_up("polling the cluster's nodes", lambda: self._follow_cluster(autoscaler)),
                    kept_up(
                        "balancing the models",
                        lambda: autoscaler.balance(metrics.observed, self._progress.rates.seconds_left),
                    ),
                    self._lost_ray(scheduler),
                    self._stop(stopping, scheduler),
                    self._serve(pools, scheduler),
                    self._publish(),
                )
            finally:
                # Of a worker that was lost between its commit and the report of it.
                for summary in self._manifest.take_up_committed(self._folder):
                    plan.commit(summary.index, summary.kept, summary.stop, summary.skipped)
                metrics.end(self._progress, Run(self._folder, self._manifest).in_journals)
                for one in followers:  # Ray is shut down next
                    with suppress(ValueError):  # removed already, because it failed
                        self._progress.followers.remove(one)
                for shared in (pool, claims):
                    if shared:
                        with suppress(Exception):  # it ends with Ray
                            await asked(shared.kill, REMOVAL_S)
        return plan

    async def _stop(self, stopping: Stop, scheduler: Scheduler) -> None:
        await stopping.wait()
        scheduler.stop()

    async def _publish(self) -> None:
        if self._publisher is not None:
            await keep_published(self._publisher, self._manifest.snapshot)

    async def _lost_ray(self, scheduler: Scheduler | None = None) -> None:
        """The run ends with Ray; workers that still live write their finished records."""
        try:
            await until_lost()
        except RayLost as lost:
            if scheduler is None:
                raise
            scheduler.fail(lost)

    async def _serve(self, pools: Pools, scheduler: Scheduler) -> None:
        """Ends the run when a model has no engine left."""
        try:
            await pools.run()
        except EngineError as lost:
            scheduler.fail(lost)

    async def _shared(self) -> tuple[SharedProcess | None, DedupProcesses | None]:
        return await self._pool(), await self._claims()

    async def _pool(self) -> SharedProcess | None:
        """The pool that the strategy needs; records in committed shards count as decided."""
        rules = self._config.strategy.pool
        if rules is None:
            return None
        manifest = self._manifest
        finalized = [range(one.start, one.stop) for one in manifest.summaries]
        given = (rules, self._folder.path.absolute(), finalized, manifest.fingerprint, manifest.fingerprints)
        pool = SharedProcess("pool", PoolProcess, *given, calls=CALLS + 4 * rules.lag)
        await pool.start()
        return pool

    async def _claims(self) -> DedupProcesses | None:
        """The dedup keys of the strategy's dedup steps, with the finalized ones."""
        duplicates = self._config.strategy.duplicates
        if not duplicates:
            return None
        manifest, parts = self._manifest, self._config.cluster.claim_processes
        if self._config.strata is not None:
            parts = 1  # acceptance depends on all rows accepted before
        if parts == "auto":
            parts = parts_for(duplicates, self._wanted)
        run_dir = self._folder.path.absolute()
        claims = DedupProcesses.of(dict(duplicates), parts, run_dir, manifest.fingerprint, list(manifest.shards))
        await claims.start()
        return claims

    def _plan(self, replicas: int) -> Plan:
        def on_growth(plan: Plan) -> None:
            self._manifest.shards = plan.shards
            self._manifest.write(self._folder)

        return plan_of(self._config, self._contents, self._manifest, replicas, on_growth)

    def _on_commit(self, summary: ShardSummary) -> None:
        self._manifest.committed[summary.index] = summary
        self._manifest.again.discard(summary.index)
        if self._first.committed(summary):
            commonest = Run(self._folder, self._manifest).commonest_error()
            raise StepsFail(f"nearly all of the first records are errors, most of them {commonest}")
        begun = time.monotonic()
        if begun > self._next_manifest:
            self._manifest.write(self._folder)
            took = time.monotonic() - begun
            self._next_manifest = begun + max(MANIFEST_INTERVAL_S, took / MANIFEST_SHARE)

    async def _unfinished(self, shard: Shard) -> list[int]:
        """The records of a shard that are not on disk."""
        owner = owner_of(shard, self._manifest.fingerprint)
        there = await asyncio.to_thread(finished_numbers, self._folder.journal(shard.index), owner)
        return [number for number in range(shard.start, shard.stop) if number not in there]

    async def _follow_cluster(self, autoscaler: Autoscaler) -> None:
        """Adapts the number of engines to the nodes that join and leave."""
        config = self._config
        if config.autoscaled and config.cluster.address is not None:
            await autoscaler.follow_nodes(
                lambda capacity: capacity_after(capacity, config.cluster, config.engine, config.pools)
            )

    def _log_capacity(self, capacity: Capacity) -> None:
        """For existing clusters, where a missing node would go unnoticed otherwise; and when GPUs move between
        models."""
        if self._config.cluster.address is not None or capacity.places:
            beside = "".join(f", {count:,} of {name}" for name, (count, _) in capacity.others.items())
            self._progress.print_line(
                f"cluster: {capacity.machines:,} node(s) with capacity, {capacity.replicas:,} engine(s){beside}"
            )

    def _merge(self) -> int:
        runs = [(self._folder, self._manifest)]
        rows = merge(runs, self._folder.dataset, self._manifest.wanted)
        reserved = Run(self._folder, self._manifest).reserved
        write_card(self._folder, runs, rows, self._manifest.wanted, reserved.cost_of_tokens)
        return rows

    def _report(self) -> None:
        try:
            write_report(self._folder.report, [Run(self._folder, self._manifest)])
        except Exception as error:  # the dataset is complete, so a failed report must not fail the run
            self._progress.print_line(f"{self._folder.report.name} can't be written: {error}")
