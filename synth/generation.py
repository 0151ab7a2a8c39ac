"""Generates the records that a run lacks: starts the cluster and what the workers share, schedules, follows.

Promises: Ray is given back whatever happens. The manifest has each shard before it is leased, and each commit within
seconds. Whatever runs beside the scheduler is awaited, and ends with it.
"""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from synth.components.source_code import source_code
from synth.configuration.chat_templates import refuse_bad_chat_template
from synth.configuration.config import Config
from synth.engines import EngineError
from synth.preview.dry_run import at_most
from synth.preview.machines import kernels
from synth.preview.servers import refuse_what_servers_refuse
from synth.publishing.publisher import Publisher
from synth.quality.duplicates import parts_for
from synth.records import Shard
from synth.report.progress import Progress
from synth.report.prometheus import Exported
from synth.report.run_data import Run
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
from synth.schedule.publishing import begin as begin_publishing
from synth.schedule.publishing import keep_published
from synth.schedule.ray_life import RayLost, until_lost
from synth.schedule.ray_worker import RayWorker
from synth.schedule.scheduler import Scheduler
from synth.schedule.shared import SharedProcess
from synth.schedule.signals import Stop
from synth.schedule.watchdog import BlockedSteps
from synth.schedule.worker_handle import WorkerHandle
from synth.sources.store import Contents
from synth.storage.journal import finished_numbers, owner_of
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary

MANIFEST_INTERVAL_S = 5.0
MANIFEST_SHARE = 0.02  # of the time, at most, for writing it: shards carry the information it lacks meanwhile
CALLS = 10_000  # to the pool at once


class Generation:
    """The records of a run's opened folder. `begin` is called when nothing can refuse the run any more; `wanted` is the
    number of rows to keep, for the display."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        manifest: Manifest,
        contents: Contents,
        *,
        begin: Callable[[], None],
        publisher: Publisher | None,
        progress: Progress,
        wanted: int,
    ):
        self._config, self._folder, self._manifest, self._contents = config, folder, manifest, contents
        self._begin, self._publisher, self._progress, self._wanted = begin, publisher, progress, wanted
        self._metrics: MetricsCollector | None = None
        self._next_manifest = 0.0
        self._first = FirstRows()

    @property
    def kept(self) -> int:
        """The rows kept so far."""
        return self._metrics.last.kept if self._metrics else sum(summary.kept for summary in self._manifest.summaries)

    def plan(self, replicas: int) -> Plan:
        """What is to be run. A shard that is planned later is in the manifest before it is leased."""

        def on_growth(plan: Plan) -> None:
            self._manifest.shards = plan.shards
            self._manifest.write(self._folder)

        return plan_of(self._config, self._contents, self._manifest, replicas, on_growth)

    async def run(self, stopping: Stop) -> Plan:
        """Returns the plan when it is done, hopeless or exhausted, or when the run is stopped.

        Raises ConfigError before `begin`; RayLost, StepsFail, WorkerLost, EngineError and OSError, also after it.
        """
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
            if self._publisher and (rows := await begin_publishing(self._publisher, self._manifest)):
                self._progress.print_line(f"publish: {rows:,} rows of this run are at {self._publisher.to}")
            self._begin()
            self._log_capacity(capacity)
            if lacking := kernels(config):
                self._progress.print_line(f"kernels: {lacking}")
            plan = self.plan(capacity.replicas)
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
            metrics = self._metrics = MetricsCollector(
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
                for follower in followers:  # Ray is shut down next
                    with suppress(ValueError):  # removed already, because it failed
                        self._progress.followers.remove(follower)
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
        finalized = [range(summary.start, summary.stop) for summary in manifest.summaries]
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
