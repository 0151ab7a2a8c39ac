"""How full an engine's batch is at a low yield, and how much is made for nothing: the real plan and scheduler, with a
simulated worker, in simulated time.

Its engine answers `BATCH` calls at once. A record is one call, or a short one at which most are rejected and then a
long one, as an instruction and its response are.
"""

import asyncio
import random
from itertools import pairwise

import pytest

from synth.schedule.ends import End
from synth.schedule.needed import Needed
from synth.schedule.plan import Plan
from synth.schedule.scheduler import Scheduler
from synth.storage.shard import ShardSummary
from tests.schedule.virtual_time import VirtualTimePolicy

BATCH, YIELD = 64, 0.2
ONE_CALL, REJECTED_EARLY = "one call", "rejected after the first of two calls"


@pytest.fixture(scope="module")
def event_loop_policy():
    return VirtualTimePolicy()


class Simulated:
    """A WorkerHandle. `running` is how many calls its engine answers, with the moment, at each change."""

    def __init__(self, kind, seed):
        self._kind, self._seed = kind, seed
        self._engine, self._slots = asyncio.Semaphore(BATCH), asyncio.Semaphore(2 * BATCH)
        self._needed, self._changed = Needed(), asyncio.Event()
        self._tasks, self._journals, self._ends, self._looked_at, self._backlog = {}, {}, [], 0, 0
        self.running, self.busy_s = [(0.0, 0)], 0.0

    async def run(self, shard, numbers=None, poison=None):
        self._backlog += len(shard)
        journal, records = self._journals.setdefault(shard.index, {}), []
        self._ends += [End(shard.index, number, rows) for number, rows in journal.items()]
        for number in range(shard.start, shard.stop):
            while self._needed.launch <= number < self._needed.cut:
                await self._changed.wait()
            if number < self._needed.cut and number not in journal:
                await self._slots.acquire()
                task = asyncio.create_task(self._record(shard, number, journal))
                task.add_done_callback(self._tasks.pop)
                self._tasks[task] = number
                records.append(task)
            self._backlog -= 1
            self._wake()
        await asyncio.gather(*records, return_exceptions=True)
        stop = next((number for number in range(shard.start, shard.stop) if number not in journal), shard.stop)
        if stop < shard.stop and not shard.start < self._needed.cut <= stop:
            return None
        kept = sum(rows for number, rows in journal.items() if number < stop)
        return ShardSummary(index=shard.index, start=shard.start, stop=stop, kept=kept, rejected=0)

    async def _record(self, shard, number, journal):
        rng = random.Random(f"{self._seed}/{number}")
        lengths, is_kept = [rng.lognormvariate(0, 0.6) * mean for mean in (1, 4)], rng.random() < YIELD
        try:
            calls = lengths[1:] if self._kind == ONE_CALL else lengths[: 1 + is_kept]
            for seconds in calls:
                await self._call(seconds)
            journal[number] = int(is_kept)
            self._ends.append(End(shard.index, number, int(is_kept), sum(calls)))
        finally:
            self._slots.release()

    async def _call(self, seconds):
        clock = asyncio.get_running_loop().time
        async with self._engine:
            began = clock()
            self.running.append((began, self.running[-1][1] + 1))
            try:
                await asyncio.sleep(seconds)
            finally:
                self.running.append((clock(), self.running[-1][1] - 1))
                self.busy_s += clock() - began

    def _wake(self):
        self._changed.set()
        self._changed = asyncio.Event()

    async def wants_work(self):
        while self._backlog > BATCH // 4:
            await self._changed.wait()

    async def poll(self, seen, needed):
        self._needed = needed
        self._wake()
        for task, number in self._tasks.items():
            if number >= needed.cut:
                task.cancel()
        del self._ends[: seen - self._looked_at]
        self._looked_at = seen
        return list(self._ends)

    async def start(self):
        pass

    async def stop(self):
        pass

    async def kill(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(0)


class Blind(Simulated):
    """Nobody poll at it: what it finishes counts when its shard is committed, as it was before."""

    async def poll(self, seen, needed):
        return []


async def run(kind, num_records, seed, worker=Simulated):
    """The worker, after a run of its own."""
    plan = Plan(num_records, shard_size=1024, replicas=1, min_yield=0.01)
    made = worker(kind, seed)
    await Scheduler(plan, 1, lambda index: made, lambda summary: None).run()
    assert plan.done
    return made


def filled(worker):
    """The share of the batch that was full, from the first full moment until less than a batch was left to end."""
    begin = next(at for at, count in worker.running if count == BATCH)
    ends = [at for (_, before), (at, after) in pairwise(worker.running) if after < before]
    end = ends[-BATCH]
    spans = [(max(at, begin), min(then, end), count) for (at, count), (then, _) in pairwise(worker.running)]
    return sum(count * (then - at) for at, then, count in spans if then > at) / BATCH / (end - begin)


@pytest.mark.parametrize("kind", [ONE_CALL, REJECTED_EARLY])
@pytest.mark.parametrize("num_records", [100, 300])
async def test_at_a_yield_of_a_fifth_the_batch_is_full_until_less_than_a_batch_is_left(kind, num_records):
    for seed in range(2):
        assert filled(await run(kind, num_records, seed)) >= 0.97


async def test_a_run_at_a_low_yield_ends_sooner_than_one_that_waits_for_commits():
    looked, blind = [await run(REJECTED_EARLY, 100, 0, worker) for worker in (Simulated, Blind)]
    assert looked.running[-1][0] < 0.95 * blind.running[-1][0]


async def test_little_is_made_that_nobody_needed():
    looked, blind = [await run(ONE_CALL, 300, 0, worker) for worker in (Simulated, Blind)]
    assert looked.busy_s <= 1.02 * blind.busy_s
