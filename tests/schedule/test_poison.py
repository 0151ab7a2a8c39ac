"""Poison: a record that no worker survives is set aside, the others are made, and a broken engine is no record's fault.

Workers are simulated: one dies when it is given a poisonous record, or at random, or at anything.
"""

import asyncio
import random

import pytest

from synth.engines import EngineError
from synth.schedule import scheduler as module
from synth.schedule.bisection import DEATHS
from synth.schedule.counters import Counters
from synth.schedule.plan import Plan
from synth.schedule.scheduler import MAX_FAILURES, Scheduler
from synth.schedule.worker_handle import WorkerLost
from synth.storage.shard import ShardSummary
from tests.schedule.virtual_time import VirtualTimePolicy


@pytest.fixture(scope="module")
def event_loop_policy():
    """Time is what the workers are told to take, however busy the machine is."""
    return VirtualTimePolicy()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)


class Disk:
    """The journals: which records are finished, and which were set aside with which error."""

    def __init__(self):
        self.finished, self.poison = set(), {}

    async def unfinished(self, shard):
        return [number for number in range(shard.start, shard.stop) if number not in self.finished]


class MortalWorker:
    """Makes a record in a millisecond, `in_flight` side by side. What it has in flight when it dies is lost."""

    def __init__(self, disk, poison=(), lives_s=None, answers=True, in_flight=8, record_s=0.001, start_s=0):
        self.start_s = start_s
        self.disk, self.poison, self.answers = disk, poison, answers
        self.in_flight, self.record_s = asyncio.Semaphore(in_flight), record_s
        self.dead = asyncio.Event()
        self.died_over = set()
        self.busy = set()
        self.asked = []
        if lives_s is not None:
            asyncio.get_running_loop().call_later(lives_s, self.dead.set)

    async def start(self):
        await asyncio.sleep(self.start_s)

    async def run(self, shard, numbers=None, poison=None):
        self.asked.append(numbers)
        self.disk.poison |= poison or {}
        self.disk.finished |= set(poison or {})
        wanted = range(shard.start, shard.stop) if numbers is None else numbers
        await self.mortal(self.make([n for n in wanted if n not in self.disk.finished]))
        if await self.disk.unfinished(shard):
            return None
        return ShardSummary(index=shard.index, start=shard.start, stop=shard.stop, kept=len(shard), rejected=0)

    async def make(self, numbers):
        async with asyncio.TaskGroup() as records:
            for number in numbers:
                await self.in_flight.acquire()
                records.create_task(self.record(number))

    async def record(self, number):
        self.busy.add(number)
        try:
            if number in self.poison or not self.answers:
                self.dead.set()
                await asyncio.Event().wait()  # in flight until it is noticed, however busy the machine is
            await asyncio.sleep(self.record_s)
            if not self.dead.is_set():
                self.disk.finished.add(number)
        finally:
            self.busy.discard(number)
            self.in_flight.release()

    async def mortal(self, work):
        work, dead = asyncio.create_task(work), asyncio.create_task(self.dead.wait())
        await asyncio.wait([work, dead], return_when=asyncio.FIRST_COMPLETED)
        dead.cancel()
        if self.dead.is_set():
            self.died_over |= self.busy
            work.cancel()
            raise WorkerLost("simulated death")
        return await work

    async def wants_work(self):
        await self.mortal(asyncio.sleep(0.002))

    async def poll(self, seen, needed):
        return []

    async def probe(self, seconds):
        await self.mortal(asyncio.sleep(seconds))
        if self.answers is False:
            raise EngineError("answers nothing")

    async def counters(self):
        return Counters()

    async def stop(self):
        pass

    async def kill(self):
        self.dead.set()


class Bench:
    def __init__(self, replicas=1, num_records=64, shard_size=16, ordered=False, worker=lambda index: {}):
        self.disk, self.spawned = Disk(), []
        self.plan = Plan(num_records, shard_size=shard_size, replicas=1, min_yield=0.05)

        def spawn(index):
            self.spawned.append(MortalWorker(self.disk, **worker(index)))
            return self.spawned[-1]

        self.scheduler = Scheduler(
            self.plan, replicas, spawn, lambda summary: None, unfinished=self.disk.unfinished, ordered=ordered
        )

    async def run(self):
        async with asyncio.timeout(30):
            await self.scheduler.run()


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("replicas", [1, 3])
async def test_a_poisonous_record_is_set_aside_with_its_error_and_all_others_are_made(replicas, ordered):
    bench = Bench(replicas, ordered=ordered, worker=lambda index: {"poison": {21}})
    await bench.run()
    assert bench.plan.done
    assert list(bench.disk.poison) == [21]
    assert "simulated death" in bench.disk.poison[21]
    assert bench.disk.finished >= set(range(64))
    assert sum(21 in worker.died_over for worker in bench.spawned) <= 2 + 4 + DEATHS


async def test_each_of_several_is_set_aside():
    bench = Bench(2, worker=lambda index: {"poison": {0, 1, 30, 63}})
    await bench.run()
    assert sorted(bench.disk.poison) == [0, 1, 30, 63]


async def test_it_is_set_aside_at_its_third_death_alone():
    bench = Bench(worker=lambda index: {"poison": {5}})
    await bench.run()
    assert sum(worker.died_over == {5} for worker in bench.spawned) == DEATHS


async def test_nobody_is_set_aside_where_workers_are_killed_at_random(monkeypatch):
    monkeypatch.setattr(module, "MAX_FAILURES", 10**9)
    rng = random.Random(0)

    def worker(index):
        return {"lives_s": rng.expovariate(1 / 0.02), "record_s": 0.01, "in_flight": 4}

    bench = Bench(3, num_records=200, shard_size=8, worker=worker)
    await bench.run()
    assert len(bench.spawned) > 20
    assert bench.plan.done
    assert not bench.disk.poison


async def test_a_shard_that_one_worker_was_lost_over_goes_to_another_at_once():
    lives = iter([0.02])
    bench = Bench(2, worker=lambda index: {"lives_s": next(lives, None), "record_s": 0.01})
    await bench.run()
    assert len(bench.spawned) == 3
    assert all(numbers is None for worker in bench.spawned for numbers in worker.asked)  # no shard was bisected


async def test_an_engine_that_answers_nothing_is_given_up_and_no_record_is_blamed():
    bench = Bench(worker=lambda index: {"answers": False})
    with pytest.raises((WorkerLost, EngineError)):
        await bench.run()
    assert len(bench.spawned) == MAX_FAILURES
    assert not bench.disk.poison


async def test_an_engine_that_survives_no_record_at_all_is_given_up_after_a_few():
    bench = Bench(num_records=1000, worker=lambda index: {"poison": range(1000)})
    with pytest.raises(WorkerLost):
        await bench.run()
    assert len(bench.disk.poison) < MAX_FAILURES


async def test_others_go_on_while_one_looks_for_the_record():
    def worker(index):
        return {"poison": {2}} if index else {"record_s": 0.02}

    bench = Bench(2, num_records=200, worker=worker)
    await bench.run()
    assert bench.plan.done
    assert not bench.spawned[0].died_over


async def test_a_suspicious_shard_does_not_wait_forever_for_a_replica_that_never_comes_back(monkeypatch):
    monkeypatch.setattr(module, "KEPT_S", 0.05)
    given = iter([{"lives_s": 0.02, "record_s": 0.01}] * 2 + [{"start_s": 60}])

    def worker(index):
        return next(given, {}) if index == 0 else {"start_s": 0.3}

    bench = Bench(2, num_records=64, shard_size=64, worker=worker)
    await bench.run()
    assert bench.plan.done
    assert not bench.disk.poison
