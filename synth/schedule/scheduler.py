"""Who makes which shard when: one loop per worker, each with a shard in its tail and the next one begun.

Promises: a shard is with one worker at a time; the shards of a lost worker go to the others at once, and a new
worker is started in its place, after a pause that doubles; workers that can't be started end the run, with what
is finished safe. Asked to stop, it leases nothing more and every worker writes down what it has finished.

A semaphore and coroutines. Knows workers by five coroutines and nothing of Ray.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Protocol

from synth.engines import EngineError
from synth.schedule.plan import Plan, Shard
from synth.schedule.worker import Counters
from synth.storage.shard import ShardSummary

log = logging.getLogger(__name__)

STOP_GRACE_S = 10.0
MAX_FAILURES = 5  # of one replica in a row, with no shard committed between them
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
    """Runs `plan` on `replicas` workers made by `spawn`; tells `on_commit` of every shard that is safe."""

    def __init__(
        self,
        plan: Plan,
        replicas: int,
        spawn: Callable[[int], WorkerHandle],
        on_commit: Callable[[ShardSummary], None],
    ):
        self._plan = plan
        self._replicas = replicas
        self._spawn = spawn
        self._on_commit = on_commit
        self._changed = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._over = False
        self._failure: BaseException | None = None
        self._spawned: dict[int, WorkerHandle] = {}
        self.workers: dict[int, WorkerHandle] = {}  # those whose engine runs

    def stop(self) -> None:
        """Lease nothing more and come to an end. May be called from a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Returns when the plan is done, hopeless or exhausted, or when stopped. Raises WorkerLost."""
        replicas = [asyncio.create_task(self._keep_alive(index)) for index in range(self._replicas)]
        stopped = asyncio.create_task(self._stopping.wait())
        ended = asyncio.create_task(self._wait_for(lambda: self._ended or self._failure is not None))
        await asyncio.wait([stopped, ended], return_when=asyncio.FIRST_COMPLETED)
        self._over = True
        await self._announce()
        await self._stop_workers()
        for task in (*replicas, stopped, ended):
            task.cancel()
        await asyncio.gather(*replicas, stopped, ended, return_exceptions=True)
        if self._failure is not None and not self._stopping.is_set():
            raise self._failure

    @property
    def _ended(self) -> bool:
        return self._plan.done or self._plan.hopeless or self._plan.exhausted

    async def _keep_alive(self, index: int) -> None:
        """One replica: a worker, and after its loss another one."""
        failures, pause = 0, FIRST_PAUSE_S
        while not self._over:
            worker = self._spawned[index] = self._spawn(index)
            committed = self._plan.kept
            try:
                await worker.start()
                self.workers[index] = worker
                await self._feed(worker, index)
                return
            except (WorkerLost, EngineError) as error:
                if self._over:
                    return
                self.workers.pop(index, None)
                await worker.kill()
                failures = 1 if self._plan.kept > committed else failures + 1
                log.warning("replica %d: %s", index, error)
                if failures >= MAX_FAILURES:
                    self._failure = error
                    await self._announce()
                    return
                pause = FIRST_PAUSE_S if failures == 1 else 2 * pause
                await asyncio.sleep(pause)

    async def _feed(self, worker: WorkerHandle, index: int) -> None:
        """Lease shard after shard to a worker, each as soon as it has launched nearly all it has."""
        held: set[asyncio.Task[None]] = set()
        try:
            async with asyncio.TaskGroup() as shards:
                async for shard in self._leases(held):
                    task = shards.create_task(self._run(worker, shard))
                    held.add(task)
                    task.add_done_callback(held.discard)
                    await worker.hungry()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _leases(self, held: set[asyncio.Task[None]]) -> AsyncIterator[Shard]:
        """Shards for one worker, waiting where others are expected to do it or have the better claim."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._over or self._fair(len(held)))
            if self._over:
                return
            shard = self._plan.lease()
            if shard is not None:
                yield shard

    def _fair(self, held: int) -> bool:
        """Near the end a worker with work leaves the last shards to those without."""
        shard = self._plan.next()
        if shard is None:
            return False
        share = self._plan.unfinished / max(1, len(self.workers))
        return held == 0 or (held + 1) * len(shard) <= share

    async def _run(self, worker: WorkerHandle, shard: Shard) -> None:
        try:
            summary = await worker.run(shard)
        except BaseException:
            self._plan.release(shard)
            await self._announce()
            raise
        if summary is None:
            self._plan.release(shard)
        else:
            self._plan.commit(summary.index, summary.kept)
            self._on_commit(summary)
        await self._announce()

    async def _stop_workers(self) -> None:
        async def stop(index: int, worker: WorkerHandle) -> None:
            if index in self.workers:  # one whose engine is still loading has nothing to write down
                with suppress(WorkerLost, EngineError, TimeoutError):
                    await asyncio.wait_for(worker.stop(), STOP_GRACE_S)
            await worker.kill()

        await asyncio.gather(*(stop(index, worker) for index, worker in self._spawned.items()))

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait_for(self, condition: Callable[[], Any]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)
