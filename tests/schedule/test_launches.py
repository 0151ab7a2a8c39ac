"""Which records of a worker may begin: the engine is kept busy, memory is not filled, and nobody waits for ever."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.schedule.launches import AHEAD, FEW, Launches


class Records:
    """Records that begin one after the other, fan out and end. `most` is how many branches were unfinished at once."""

    def __init__(self, launches, shapes, seed=0, at_once=10**9):
        self.launches, self.shapes = launches, shapes
        self.rng = random.Random(seed)
        self.at_once = asyncio.Semaphore(at_once)
        self.begun, self.branches, self.most, self.most_begun = 0, 0, 0, 0
        self.running = self.most_running = 0

    async def run(self):
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            for number in range(len(self.shapes)):
                await self.launches.begin(number)
                await self.at_once.acquire()
                self.begun += 1
                self.most_begun = max(self.most_begun, self.begun)
                group.create_task(self.record(number))

    async def record(self, number):
        try:
            await asyncio.sleep(self.rng.uniform(0, 0.001))
            if self.shapes[number]:
                await self.branch_out(number, self.shapes[number])
        finally:
            self.begun -= 1
            self.launches.end(number)
            self.at_once.release()

    async def branch_out(self, number, shape):
        self.launches.branch_out(number, len(shape))
        self.branches += len(shape)
        self.most = max(self.most, self.branches)
        async with asyncio.TaskGroup() as group:
            for inner in shape:
                turn = await self.launches.branch(number)
                group.create_task(self.branch(number, turn, inner))

    async def branch(self, number, turn, inner):
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(self.rng.uniform(0, 0.0005))
        self.running -= 1
        try:
            if inner:
                turn.release()
                await self.branch_out(number, inner)
        finally:
            turn.release()
            self.launches.branch_ended(number)
            self.branches -= 1


@pytest.mark.parametrize("tells", [True, False])
async def test_records_that_do_not_fan_out_all_begin(tells):
    records = Records(Launches(8, tells), [None] * 200, at_once=16)
    await records.run()
    assert records.most_begun == 16


async def test_where_nobody_knows_few_begin_until_some_have_come_that_far():
    launches = Launches(100, False)
    for number in range(FEW):
        await launches.begin(number)
    fifth = asyncio.create_task(launches.begin(FEW))
    await asyncio.sleep(0.01)
    assert not fifth.done()
    launches.end(1)
    await fifth


async def test_records_that_fan_out_wide_come_one_after_the_other():
    wide = Records(Launches(8, False), [[None] * 1000] * 6)
    await wide.run()
    assert wide.most <= FEW * 1000  # those that had begun before the first of them was seen
    assert wide.most_running == 8
    known = Records(Launches(8, True), [[None] * 1000, *[[None] * 1000] * 5], at_once=1)
    await known.run()
    assert known.most == 1000


async def test_once_it_is_seen_no_more_begin_than_what_memory_is_to_hold():
    launches = Launches(8, False)
    await launches.begin(0)
    launches.branch_out(0, 20)
    for _ in range(20):
        launches.branch_ended(0)
    launches.end(0)
    begun = []

    async def begin():
        for number in range(1, 100):
            await launches.begin(number)
            begun.append(number)

    beginning = asyncio.create_task(begin())
    await asyncio.sleep(0.01)
    assert len(begun) == AHEAD * 8 // 20 + 1
    beginning.cancel()


async def test_the_lowest_of_all_begins_whatever_else_is_there():
    launches = Launches(2, True)
    await launches.begin(5)
    launches.branch_out(5, 1000)
    waiting = asyncio.create_task(launches.begin(6))
    async with asyncio.timeout(30):
        await launches.begin(3)
    assert not waiting.done()
    waiting.cancel()


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind():
    launches = Launches(1, True)
    await launches.begin(0)
    launches.branch_out(0, 10)
    waiting = [asyncio.create_task(launches.begin(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    launches.end(0)
    async with asyncio.timeout(30):
        await waiting[1]
    launches.end(2)
    assert launches.idle


shapes = st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=6), max_leaves=30)


@settings(max_examples=40, deadline=None)
@given(st.lists(shapes, max_size=15), st.integers(1, 6), st.booleans(), st.integers(1, 20), st.integers(0, 99))
def test_whatever_becomes_of_records_all_come_to_their_end_and_nothing_is_left(shapes, most, tells, at_once, seed):
    async def go():
        launches = Launches(most, tells)
        records = Records(launches, shapes, seed, at_once)
        await records.run()
        assert records.most_running <= most
        assert launches.idle

    asyncio.run(go())
