"""Collects the counters of a run's workers twice a second and sums them for the progress display."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from synth.engines import EngineError
from synth.engines.price import Price
from synth.records import Spent, add_spent
from synth.report.progress import Progress
from synth.report.reserved import Reserved, ReservedTime
from synth.report.snapshot import ModelAtWork, Snapshot, of_caches
from synth.report.strata import kept_of, strata_of
from synth.report.time_left import Left
from synth.report.work import Work
from synth.schedule.balance import Observed
from synth.schedule.counters import Counters
from synth.schedule.engine_pool import Pools
from synth.schedule.plan import Plan
from synth.schedule.scheduler import Scheduler
from synth.schedule.watchdog import BlockedSteps
from synth.schedule.worker_handle import WorkerHandle, WorkerLost
from synth.steps.endpoints import MAIN
from synth.storage.manifest import Manifest
from synth.storage.shard import ShardSummary
from synth.storage.tally import Tally

INTERVAL_S = 0.5
ANSWER_S = 5.0
_TOTALS = (
    "made prompt_tokens cached_tokens completion_tokens engine_seconds form_seconds preempted recomputed spent "
    "reserved models"
).split()


class MetricsCollector:
    """`collect` until cancelled, then `end`. `gpus` is the GPU count of a replica, `pools` the engines of other models.
    `price` is that of a GPU-hour; `prices` are those of models whose servers charge per token. `longest` is the most
    tokens a record may write; `at_once` the requests that an engine of each model runs at once; `last` is the last
    snapshot."""

    def __init__(
        self,
        scheduler: Scheduler,
        plan: Plan,
        manifest: Manifest,
        *,
        wanted: int,
        gpus: float,
        price: float | None,
        prices: Mapping[str, Price],
        longest: float,
        blocked: BlockedSteps,
        pools: Pools,
        at_once: Mapping[str, int],
    ):
        self._longest = longest
        self._blocked = blocked
        self._pools, self._at_once = pools, at_once
        self._models: dict[str, ModelAtWork] = {}
        self._scheduler, self._plan, self._manifest = scheduler, plan, manifest
        self._gpus, self._reserved, self._prices = gpus, ReservedTime(price), prices
        self._last: dict[WorkerHandle, Counters] = {}  # last counters of each worker, ended ones included
        self._counted: dict[int, ShardSummary] = {}
        self._total = Tally()
        self._strata: Counter[tuple[str, str]] = Counter()  # kept rows by stratum
        self.last = Snapshot(kept=0, rejected=0, wanted=wanted)

    async def collect(self, progress: Progress) -> None:
        while True:
            workers = list(self._scheduler.workers.values())
            answers = await asyncio.gather(*map(_counters, workers))
            self._models = {name: await pool.at_work() for name, pool in self._pools.pools.items()}
            self._last |= {worker: counters for worker, counters in zip(workers, answers, strict=True) if counters}
            self.last = self._snapshot([self._last[worker] for worker in workers if worker in self._last])
            progress.update(self.last)
            for line in self._blocked.news():
                progress.print_line(line)
            await asyncio.sleep(INTERVAL_S)

    def observed(self) -> dict[str, Observed]:
        """The last observation of each model."""
        last, at_once = self.last, self._at_once
        read = last.prompt_tokens - last.cached_tokens
        main = Observed(
            last.replicas_ready,
            last.replicas,
            last.at_once // max(1, last.replicas_ready) or at_once[MAIN],
            last.running,
            last.waiting,
            read + last.completion_tokens,
        )
        others = {
            name: Observed(
                one.engines_ready,
                one.engines,
                one.at_once // max(1, one.engines_ready) or at_once[name],
                one.running,
                one.waiting,
                one.prompt_tokens + one.completion_tokens,
            )
            for name, one in last.models.items()
        }
        return {MAIN: main, **others}

    def end(self, progress: Progress, in_journals: Tally) -> None:
        """All workers have ended: count what is on disk, and their last counters."""
        self._last |= self._scheduler.ended
        self._models = {name: pool.last_stats() for name, pool in self._pools.pools.items()}
        there, totals = _finished(self._committed() + in_journals), self._snapshot([])
        there |= {name: getattr(totals, name) for name in _TOTALS}
        self.last = replace(self.last, **there, in_flight=0, running=0, waiting=0, paused_s=0.0)
        progress.update(self.last, ended=True)

    def _look(self) -> Reserved:
        """All replicas and engines that are reserved, and their GPUs."""
        reserved = {name: len(pool.reserved) for name, pool in self._pools.pools.items()}
        gpus = sum(count * self._pools.gpus[name] for name, count in reserved.items())
        replicas = self._scheduler.reserved
        return self._reserved.look(
            replicas + sum(reserved.values()), replicas * self._gpus + gpus, self._cost_of_tokens()
        )

    def _cost_of_tokens(self) -> dict[str, float]:
        """By model, for models with a price."""
        counted: Mapping[str, Any] = {name: [one] for name, one in self._models.items()} | {MAIN: self._last.values()}
        return {name: price.of(*_tokens(counted.get(name, ()))) for name, price in self._prices.items()}

    def _left(self, uncommitted: Tally) -> Left:
        plan = self._plan
        missing = None if plan.missing is None else plan.missing - uncommitted.kept
        return Left(missing, max(0, plan.in_flight - uncommitted.records), plan.unleased, self._longest)

    def _committed(self) -> Tally:
        """Of all committed shards; only shards that are new since the last call are read."""
        for index, summary in self._manifest.committed.items():
            before = self._counted.get(index)
            if summary is not before:
                self._counted[index] = summary
                for one, sign in ((before, -1), (summary, 1)):
                    if one is not None:
                        self._strata.update({key: sign * count for key, count in kept_of([one]).items()})
                        self._total.records += sign * (one.stop - one.start)
                        self._total.kept += sign * one.kept
                        self._total.rejected += sign * one.rejected
                        self._total.reasons.update({name: sign * count for name, count in one.reasons.items()})
        return self._total

    def _snapshot(self, here: list[Counters]) -> Snapshot:
        """`here` are the counters of running workers; those of ended workers are added."""
        counted = self._last.values()
        uncommitted = sum((counters.uncommitted for counters in here), Tally())
        return Snapshot(
            **_finished(self._committed() + uncommitted),
            left=self._left(uncommitted),
            work=replace(
                sum((counters.work for counters in counted), Work()),
                running=sum((counters.work for counters in here), Work()).running,
            ),
            wanted=self.last.wanted,
            strata=strata_of(self._manifest.identity.get("strata", {}), self._strata),
            in_flight=sum(counters.in_flight for counters in here),
            made=sum(counters.made for counters in counted),
            prompt_tokens=sum(counters.prompt_tokens for counters in counted),
            cached_tokens=sum(counters.cached_tokens for counters in counted),
            completion_tokens=sum(counters.completion_tokens for counters in counted),
            engine_seconds=sum(counters.engine_seconds for counters in counted),
            form_seconds=sum(counters.form_seconds for counters in counted),
            **of_caches([counters.load for counters in counted], [counters.load for counters in here]),
            spent=_sums(counters.spent for counters in counted),
            reserved=self._look(),
            models=self._models,
            running=sum(counters.load.running for counters in here),
            waiting=sum(counters.load.waiting for counters in here),
            cache_usage=sum(counters.load.cache_usage for counters in here) / max(1, len(here)),
            paused_s=max((counters.load.paused_s for counters in here), default=0.0),
            replicas_ready=len(self._scheduler.workers),
            replicas=self._scheduler.replicas,
        )


def _finished(tally: Tally) -> dict[str, Any]:
    return {
        "kept": tally.kept,
        "rejected": tally.rejected,
        "records": tally.records,
        "reasons": dict(tally.reasons),
    }


def _tokens(counters: Iterable[Counters | ModelAtWork]) -> list[int]:
    names = ("prompt_tokens", "cached_tokens", "completion_tokens")
    return [sum(getattr(counter, name) for counter in counters) for name in names]


def _sums(workers: Iterable[dict[str, Spent]]) -> dict[str, Spent]:
    """The sum over all workers, by step."""
    total: dict[str, Spent] = {}
    for steps in workers:
        add_spent(total, steps)
    return total


async def _counters(worker: WorkerHandle) -> Counters | None:
    with suppress(WorkerLost, EngineError, TimeoutError):
        return await asyncio.wait_for(worker.counters(), ANSWER_S)
    return None
