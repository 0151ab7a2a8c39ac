"""What a run's workers are at, asked of all of them twice a second and added up for the progress display."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from synth.engines import EngineError
from synth.engines.price import Price
from synth.records import Spent, add_spent
from synth.report.progress import ModelAtWork, Progress, Snapshot, of_caches
from synth.report.reserved import Reserved, ReservedTime
from synth.report.strata import kept_of, strata_of
from synth.report.time_left import Left
from synth.report.work import Work
from synth.schedule.balance import Observed
from synth.schedule.engine_pool import Pools
from synth.schedule.plan import Plan
from synth.schedule.scheduler import Scheduler
from synth.schedule.watchdog import BlockedSteps
from synth.schedule.worker import Counters
from synth.schedule.worker_handle import WorkerHandle, WorkerLost
from synth.steps.llm import MAIN
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
    """`collect` until it is cancelled, then `end`. `gpus` are those of a replica, `pools` the engines of other models;
    `price` is that of a GPU-hour, `prices` are those of the models whose servers charge for tokens. `longest` is the
    most that a record may write, in tokens; `at_once` the requests that an engine of each model runs; `last` is what
    was seen last."""

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
        self._told: dict[WorkerHandle, Counters] = {}  # the last that each worker said, those that are gone too
        self._counted: dict[int, ShardSummary] = {}
        self._total = Tally()
        self._strata: Counter[tuple[str, str]] = Counter()  # kept rows of these
        self.last = Snapshot(kept=0, rejected=0, wanted=wanted)

    async def collect(self, progress: Progress) -> None:
        while True:
            workers = list(self._scheduler.workers.values())
            answers = await asyncio.gather(*map(_counters, workers))
            self._models = {name: await pool.at_work() for name, pool in self._pools.pools.items()}
            self._told |= {worker: counters for worker, counters in zip(workers, answers, strict=True) if counters}
            self.last = self._snapshot([self._told[worker] for worker in workers if worker in self._told])
            progress.update(self.last)
            for line in self._blocked.news():
                progress.say(line)
            await asyncio.sleep(INTERVAL_S)

    def observed(self) -> dict[str, Observed]:
        """Each model as it was seen last."""
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
        """All workers are gone: what counts now is what is on disk, and what they said last."""
        self._told |= self._scheduler.ended
        self._models = {name: pool.told() for name, pool in self._pools.pools.items()}
        there, totals = _finished(self._committed() + in_journals), self._snapshot([])
        there |= {name: getattr(totals, name) for name in _TOTALS}
        self.last = replace(self.last, **there, in_flight=0, running=0, waiting=0, paused_s=0.0)
        progress.update(self.last, ended=True)

    def _look(self) -> Reserved:
        """All replicas and engines that are held, and their GPUs."""
        reserved = {name: len(pool.reserved) for name, pool in self._pools.pools.items()}
        gpus = sum(count * self._pools.gpus[name] for name, count in reserved.items())
        replicas = self._scheduler.reserved
        return self._reserved.look(
            replicas + sum(reserved.values()), replicas * self._gpus + gpus, self._cost_of_tokens()
        )

    def _cost_of_tokens(self) -> dict[str, float]:
        """Of each model that has a price."""
        told: Mapping[str, Any] = {name: [one] for name, one in self._models.items()} | {MAIN: self._told.values()}
        return {name: price.of(*_tokens(told.get(name, ()))) for name, price in self._prices.items()}

    def _left(self, uncommitted: Tally) -> Left:
        plan = self._plan
        missing = None if plan.missing is None else plan.missing - uncommitted.kept
        return Left(missing, max(0, plan.in_flight - uncommitted.records), plan.unleased, self._longest)

    def _committed(self) -> Tally:
        """Of all committed shards; only those are counted that are new since it was asked before."""
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
        """`here` is what those say that run now; what the others made counts too."""
        told = self._told.values()
        uncommitted = sum((one.uncommitted for one in here), Tally())
        return Snapshot(
            **_finished(self._committed() + uncommitted),
            left=self._left(uncommitted),
            work=replace(
                sum((one.work for one in told), Work()), running=sum((one.work for one in here), Work()).running
            ),
            wanted=self.last.wanted,
            strata=strata_of(self._manifest.identity.get("strata", {}), self._strata),
            in_flight=sum(one.in_flight for one in here),
            made=sum(one.made for one in told),
            prompt_tokens=sum(one.prompt_tokens for one in told),
            cached_tokens=sum(one.cached_tokens for one in told),
            completion_tokens=sum(one.completion_tokens for one in told),
            engine_seconds=sum(one.engine_seconds for one in told),
            form_seconds=sum(one.form_seconds for one in told),
            **of_caches([one.load for one in told], [one.load for one in here]),
            spent=_sums(one.spent for one in told),
            reserved=self._look(),
            models=self._models,
            running=sum(one.load.running for one in here),
            waiting=sum(one.load.waiting for one in here),
            cache_usage=sum(one.load.cache_usage for one in here) / max(1, len(here)),
            paused_s=max((one.load.paused_s for one in here), default=0.0),
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


def _tokens(told: Iterable[Counters | ModelAtWork]) -> list[int]:
    names = ("prompt_tokens", "cached_tokens", "completion_tokens")
    return [sum(getattr(one, name) for one in told) for name in names]


def _sums(workers: Iterable[dict[str, Spent]]) -> dict[str, Spent]:
    """What all workers spent at each step."""
    total: dict[str, Spent] = {}
    for steps in workers:
        add_spent(total, steps)
    return total


async def _counters(worker: WorkerHandle) -> Counters | None:
    with suppress(WorkerLost, EngineError, TimeoutError):
        return await asyncio.wait_for(worker.counters(), ANSWER_S)
    return None
