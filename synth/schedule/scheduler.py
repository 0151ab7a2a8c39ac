"""The scheduler: one loop per replica, which leases shards to its worker so that the next begins during the tail.

Promises: a shard is leased to one worker at a time. A finished record counts within a moment, and a record that is no
longer needed is not run. The shards of a lost worker go to others at once; a new worker is started in its place, after
a pause that doubles while there is no progress. A shard over which two workers were lost is run alone, until the
poisonous record is found and rejected (bisection.py). A replica that can't be kept alive is given up, at once if its
engine refuses the configuration; when the last one is, the run ends with its finished records safe. Replicas can be
added and removed during the run. After `stop`, nothing more is leased, and each worker writes its finished records.

Coroutines and an event. Uses workers by their handles; no Ray, no files.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from synth.engines import EngineError, Unusable
from synth.records import Shard
from synth.schedule.conditions import Conditions
from synth.schedule.counters import Counters
from synth.schedule.leases import Leases
from synth.schedule.plan import Plan
from synth.schedule.poll import NeededRecords, Poll, pause_s
from synth.schedule.replicas import Replicas, shape
from synth.schedule.search import SuspectDied, search
from synth.schedule.shared import SharedLost
from synth.schedule.worker_handle import WorkerHandle, WorkerLost
from synth.storage.shard import ShardSummary

log = logging.getLogger(__name__)

STOP_GRACE_S = 10.0
MAX_FAILURES = 5  # of one replica in a row, without a finished record between them
FIRST_PAUSE_S = 1.0
KEPT_S = 60.0  # plus twice the start time of a worker: how long a suspicious shard waits for the same replica


class _StartAnew(Exception):
    """Restart a worker: its records wait for lower ones that no worker runs."""


async def _all_of_it(shard: Shard) -> Collection[int]:
    return range(shard.start, shard.stop)


class Scheduler:
    """Runs `plan` on `replicas` workers made by `spawn`; calls `on_commit` for each committed shard.

    `unfinished` returns the records of a shard that are not on disk. If records or finished shards wait for lower ones
    (`ordered`), a released shard goes to any running worker, idle or not (leases.py).
    """

    def __init__(
        self,
        plan: Plan,
        replicas: int,
        spawn: Callable[[int], WorkerHandle],
        on_commit: Callable[[ShardSummary], None],
        *,
        unfinished: Callable[[Shard], Awaitable[Collection[int]]] = _all_of_it,
        ordered: bool = False,
    ):
        self._plan = plan
        self._spawn = spawn
        self._on_commit = on_commit
        self._changes = Conditions()
        self._needed_records = NeededRecords(plan)
        self._stopping = asyncio.Event()
        self._failure: Exception | None = None
        self._over = False
        self._spawned: dict[int, WorkerHandle] = {}
        self._commits: Counter[int] = Counter()  # by replica
        self._slowest_start_s = 0.0
        self._any_ran = False  # whether any engine of this run has ever started
        self.workers: dict[int, WorkerHandle] = {}  # with a running engine, by replica
        self.ended: dict[WorkerHandle, Counters] = {}  # last counters of stopped workers
        self._leases = Leases(plan, unfinished, ordered, self._changes)
        self._replicas = Replicas(replicas, self._keep_alive, self._leave, self.workers, self._changes)

    @property
    def replicas(self) -> int:
        """The target number of replicas."""
        return self._replicas.target

    @property
    def reserved(self) -> int:
        """The number of replicas that have a worker or are starting one."""
        return len(self._spawned)

    @property
    def kept(self) -> list[int]:
        """The replicas that will stay, in order of their start."""
        return self._replicas.kept

    @property
    def slowest_start_s(self) -> float:
        """The slowest start of a worker with its engine, in seconds."""
        return self._slowest_start_s

    def stop(self) -> None:
        """Lease nothing more and end. May be called from a signal handler, also before `run`."""
        self._stopping.set()

    def fail(self, failure: Exception) -> None:
        """End the run with this exception, which `run` raises. Live workers write their finished records."""
        self._failure = self._failure or failure
        self._changes.announce()

    def resize(self, replicas: int, leaving: Sequence[int] = ()) -> None:
        """Set the target number of replicas. Those in `leaving` are removed in any case, then those without a worker;
        missing ones are started."""
        self._replicas.resize(replicas, leaving)

    async def run(self) -> None:
        """Returns when the plan is done, hopeless or exhausted, or when stopped.

        Raises WorkerLost or EngineError when the last replica is given up, SharedLost at once, exceptions of
        `on_commit`, and the exception passed to `fail`.
        """
        if self._stopping.is_set():
            return
        ended = asyncio.create_task(self._changes.until(self._plan_ends))
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            failure = await self._replicas.keep(ended, stopped)
            self._over = True
            self._changes.announce()
            await asyncio.gather(*(self._dismiss(index) for index in list(self._spawned)), *self._replicas.leaving)
        finally:
            for task in (ended, stopped):
                task.cancel()
            await self._replicas.end()
            await asyncio.gather(ended, stopped, return_exceptions=True)
        failure = self._failure or failure
        if failure is not None and not self._stopping.is_set():
            raise failure

    async def _keep_alive(self, index: int) -> None:
        """Run a replica, with a new worker after each loss. Raises when it is given up."""
        failures, earlier = 0, None
        ever_ran = False
        while not self._over:
            commits = self._commits[index]
            worker = self._spawned[index] = self._spawn(index)
            try:
                await self._start(worker, index)
                await self._feed(worker, index)
            except SharedLost:
                raise
            except _StartAnew:
                await self._dismiss(index)
                self._leases.give_back(index)
            except (WorkerLost, EngineError) as error:
                if self._over:
                    return
                ran = self.workers.pop(index, None) is not None
                # If an engine ran before, an error at its restart may come from what the lost one left behind.
                final = isinstance(error, Unusable) and (ran or not ever_ran)
                if not ran and not self._any_ran and type(error) is EngineError:
                    # No engine has ever run, and the second start failed like the first.
                    final, earlier = shape(error) == earlier, shape(error)
                ever_ran = ever_ran or ran
                await worker.kill()
                self._spawned.pop(index, None)
                progress = (ran and await self._leases.take_back(index)) or self._commits[index] > commits
                if progress:
                    failures = int(isinstance(error, EngineError))
                elif not isinstance(error, SuspectDied):
                    failures += 1
                if failures >= MAX_FAILURES or final:
                    self._leases.give_back(index)
                    raise
                # Never at once: the cause may be killing the whole job, whose signal comes a moment later,
                # and starting a worker when Ray is gone blocks for a minute.
                pause = FIRST_PAUSE_S * 2 ** max(0, failures - 1)
                log.warning("replica %d: %s; starting another worker in %g s", index, error, pause)
                await asyncio.sleep(pause)

    async def _start(self, worker: WorkerHandle, index: int) -> None:
        """Start the worker. If that takes long, for lack of capacity, the replica's leases go to others."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        giving_up = loop.call_later(KEPT_S + 2 * self._slowest_start_s, self._leases.give_back, index)
        try:
            await worker.start()
        finally:
            giving_up.cancel()
        self._slowest_start_s = max(self._slowest_start_s, loop.time() - began)
        self.workers[index] = worker
        self._any_ran = True

    async def _feed(self, worker: WorkerHandle, index: int) -> None:
        """Lease shards to a worker, the next one as soon as nearly all its records are launched."""
        suspicious = self._leases.of(index)
        for one in suspicious:
            await self._search(one, worker)
        try:
            async with asyncio.TaskGroup() as shards:
                poll = Poll(worker, self._plan, self._needed_records)
                shards.create_task(self._follow(poll))
                for one in suspicious:  # to commit them, which may have to wait for lower shards
                    shards.create_task(self._make(one, worker, index))
                while shard := await self._lease(index):
                    await poll.poll()  # records reported as not needed before may be in this shard
                    shards.create_task(self._make(shard, worker, index))
                    await asyncio.sleep(0)  # the worker must get the shard before `wants_work` is called
                    await self._wants_more(worker)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _follow(self, poll: Poll) -> None:
        while not self._over:
            if await poll.poll():
                self._changes.announce()
            await self._changes.unless(lambda: self._over, asyncio.sleep(pause_s(len(self.workers))))

    async def _wants_more(self, worker: WorkerHandle) -> None:
        await self._changes.unless(lambda: self._over or self._leases.urgent, worker.wants_work())

    async def _lease(self, index: int) -> Shard | None:
        """The next shard for a replica. Waits while there is none or it has its fair share; None at the end."""
        await self._changes.until(lambda: self._over or self._leases.fair(index, len(self._replicas)))
        return None if self._over else self._leases.take(index)

    async def _make(self, shard: Shard, worker: WorkerHandle, index: int) -> None:
        summary = await worker.run(shard)
        if summary is not None:
            self._plan.commit(summary.index, summary.kept, summary.stop, summary.skipped)
            self._commits[index] += 1
            self._leases.forget(shard)
            self._on_commit(summary)
        self._leases.give_back(index, shard)

    async def _search(self, shard: Shard, worker: WorkerHandle) -> None:
        """Run a shard's records alone, and reject the poisonous ones.

        Raises _StartAnew if its records wait for lower ones that no worker runs.
        """

        async def attempt(run: Awaitable[ShardSummary | None]) -> None:
            done = await self._changes.unless(lambda: self._over or self._leases.waits(shard), run)
            if not done or self._over:
                raise _StartAnew

        bisection = await self._leases.bisection(shard)
        await search(shard, worker, bisection, attempt, lambda number: self._leases.on_poison(shard))

    async def _leave(self, index: int) -> None:
        """Stop the worker of a removed replica, whose shards go to others."""
        try:
            await self._dismiss(index)
        finally:
            self._leases.give_back(index)

    async def _dismiss(self, index: int) -> None:
        """Stop a worker, which writes its finished records."""
        worker = self._spawned.pop(index, None)
        if worker is None:
            return
        if self.workers.pop(index, None):  # a worker that is still loading has nothing to write
            with suppress(WorkerLost, EngineError, TimeoutError):
                self.ended[worker] = await asyncio.wait_for(worker.stop(), STOP_GRACE_S)
        await worker.kill()

    def _plan_ends(self) -> bool:
        return self._failure is not None or self._plan.done or self._plan.hopeless or self._plan.exhausted
