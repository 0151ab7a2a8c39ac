"""Who makes which shard when: one loop per worker, each with a shard in its tail and the next one begun.

Promises: a shard is with one worker at a time; the shards of a lost worker go to the others at once, and a new
worker is started in its place, after a pause that doubles; a replica that can't be kept alive is given up, and the
last one's end is the run's, with what is finished safe. Asked to stop, it leases nothing more and every worker
writes down what it has finished.

An event and coroutines. Knows workers by six coroutines and nothing of Ray.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from synth.engines import EngineError
from synth.schedule.plan import Plan, Shard
from synth.schedule.worker import Counters
from synth.steps.pool import PoolLost
from synth.storage.shard import ShardSummary

log = logging.getLogger(__name__)

STOP_GRACE_S = 10.0
MAX_FAILURES = 5  # of one replica in a row, with no shard of its own committed between them
FIRST_PAUSE_S = 1.0


class WorkerLost(RuntimeError):
    """The worker's process is gone, or its engine is broken: what it had leased must be leased again."""


class WorkerHandle(Protocol):
    """A worker, wherever it runs. Each call may raise WorkerLost."""

    async def start(self) -> None: ...

    async def run(self, shard: Shard) -> ShardSummary | None: ...

    async def hungry(self) -> None: ...

    async def counters(self) -> Counters: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...


class Scheduler:
    """Runs `plan` on `replicas` workers made by `spawn`; tells `on_commit` of every shard that is safe.

    Where records wait for lower ones (`ordered`), a shard that comes back is for whoever runs, hungry or not: the
    records that fill the workers may be waiting for those in it.
    """

    def __init__(
        self,
        plan: Plan,
        replicas: int,
        spawn: Callable[[int], WorkerHandle],
        on_commit: Callable[[ShardSummary], None],
        *,
        ordered: bool = False,
    ):
        self._plan = plan
        self._replicas = replicas
        self._spawn = spawn
        self._on_commit = on_commit
        self._ordered = ordered
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._over = False
        self._spawned: dict[int, WorkerHandle] = {}
        self._left = replicas  # those not given up
        self._held: Counter[int] = Counter()  # records leased to each replica
        self._commits: Counter[int] = Counter()
        self.workers: dict[int, WorkerHandle] = {}  # those whose engine runs

    def stop(self) -> None:
        """Lease nothing more and come to an end. May be called from a signal handler, before `run` too."""
        self._stopping.set()

    async def run(self) -> None:
        """Returns when the plan is done, hopeless or exhausted, or when stopped.

        Raises WorkerLost or EngineError when the last replica is given up, PoolLost at once, and what `on_commit`
        raises.
        """
        if self._stopping.is_set():
            return
        replicas = [asyncio.create_task(self._keep_alive(index)) for index in range(self._replicas)]
        lost = asyncio.gather(*replicas)
        ended = asyncio.create_task(self._until(self._plan_ends))
        stopped = asyncio.create_task(self._stopping.wait())
        waiting: list[asyncio.Future[Any]] = [lost, ended, stopped]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        failure = lost.exception() if lost.done() else None
        self._over = True
        self._announce()
        await self._stop_workers()
        for task in (*replicas, ended, stopped):
            task.cancel()
        await asyncio.gather(*replicas, *waiting, return_exceptions=True)
        if failure is not None and not self._stopping.is_set():
            raise failure

    async def _keep_alive(self, index: int) -> None:
        """One replica: a worker, and after its loss another one. Raises when it was the last to be given up."""
        failures = 0
        while not self._over:
            commits = self._commits[index]
            worker = self._spawned[index] = self._spawn(index)
            try:
                await worker.start()
                self.workers[index] = worker
                await self._feed(worker, index)
            except PoolLost:
                raise
            except (WorkerLost, EngineError) as error:
                if self._over:
                    return
                self.workers.pop(index, None)
                await worker.kill()
                failures = 1 if self._commits[index] > commits else failures + 1
                if failures >= MAX_FAILURES:
                    log.warning("replica %d: %s; given up after %d failures", index, error, failures)
                    self._left -= 1
                    self._announce()
                    if not self._left:
                        raise
                    return
                pause = FIRST_PAUSE_S * 2 ** (failures - 1)
                log.warning("replica %d: %s; another one starts in %g s", index, error, pause)
                await asyncio.sleep(pause)

    async def _feed(self, worker: WorkerHandle, index: int) -> None:
        """Lease shard after shard to a worker, each as soon as it has launched nearly all it has."""

        def settle(shard: Shard, _: asyncio.Task[None]) -> None:
            self._held[index] -= len(shard)
            self._plan.release(shard)
            self._announce()

        try:
            async with asyncio.TaskGroup() as shards:
                while shard := await self._lease(index):
                    task = shards.create_task(self._make(shard, worker, index))
                    # Not in the task: a task that is cancelled before its first step never comes to its end.
                    task.add_done_callback(partial(settle, shard))
                    await asyncio.sleep(0)  # the worker has to hear of the shard before it is asked
                    await self._wants_more(worker)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _wants_more(self, worker: WorkerHandle) -> None:
        hungry = asyncio.create_task(worker.hungry())
        try:
            while not (hungry.done() or self._over or self._urgent):
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait([hungry, changed], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
            if hungry.done():
                await hungry
        finally:
            hungry.cancel()

    @property
    def _urgent(self) -> bool:
        return self._ordered and self._plan.returned

    async def _lease(self, index: int) -> Shard | None:
        """The next shard for a replica, when one is wanted and no other has the better claim; None at the end."""
        await self._until(lambda: self._over or self._fair(index))
        shard = None if self._over else self._plan.lease()
        if shard is not None:
            self._held[index] += len(shard)
        return shard

    def _fair(self, index: int) -> bool:
        """Near the end a replica with its share of the work leaves the last shards to the others."""
        if self._plan.next() is None:
            return False
        return self._urgent or not self._held[index] or self._held[index] < self._plan.unfinished / self._left

    async def _make(self, shard: Shard, worker: WorkerHandle, index: int) -> None:
        summary = await worker.run(shard)
        if summary is not None:
            self._plan.commit(summary.index, summary.kept)
            self._commits[index] += 1
            self._on_commit(summary)

    async def _stop_workers(self) -> None:
        async def stop(index: int, worker: WorkerHandle) -> None:
            if index in self.workers:  # one whose engine is still loading has nothing to write down
                with suppress(WorkerLost, EngineError, TimeoutError):
                    await asyncio.wait_for(worker.stop(), STOP_GRACE_S)
            await worker.kill()

        await asyncio.gather(*(stop(index, worker) for index, worker in self._spawned.items()))

    def _plan_ends(self) -> bool:
        return self._plan.done or self._plan.hopeless or self._plan.exhausted

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def _announce(self) -> None:
        """Whoever waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()
