"""How many requests an engine is given at once, by what preemption costs."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from synth.engines.admission import COSTLY, PATIENCE, WINDOW_S, Admission


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Engine:
    """Fake: writes `rate(limit)` tokens a second, and computes `again(limit)` of all of them twice."""

    def __init__(self, most, rate, again, used=lambda limit: 1.0):
        self.clock, self.generated, self.recomputed = Clock(), 0.0, 0.0
        self.admission = Admission(most, self.clock)
        self.rate, self.again, self.used = rate, again, used

    def windows(self, count):
        """The limit after each of so many windows."""
        limits = []
        for _ in range(count):
            for _ in range(10):
                limit = self.admission.limit
                share = self.again(limit)
                self.clock.now += WINDOW_S / 10 + 1e-9
                self.generated += self.rate(limit) * WINDOW_S / 10
                self.recomputed += self.rate(limit) * WINDOW_S / 10 * share / (1 - share)
                self.admission.look(self.generated, self.recomputed, limit, self.used(limit))
            limits.append(self.admission.limit)
        return limits


async def let_in(admission):
    """A request that stays in until it is closed."""
    request = AsyncExitStack()
    await request.enter_async_context(admission.admitted())
    return request


def overfull(limit):
    """A cache that holds 40."""
    return max(0.0, 0.6 * (limit - 40) / limit)


def test_fewer_are_let_in_as_long_as_preemption_costs_and_fewer_write_no_less():
    engine = Engine(100, lambda limit: 1000 * (1 - overfull(limit)), overfull)
    limits = engine.windows(40)
    assert limits == sorted(limits, reverse=True)
    assert overfull(limits[-1]) <= COSTLY and limits[-1] > 34


def test_what_writes_less_is_taken_back_and_not_tried_again_for_a_while():
    engine = Engine(100, lambda limit: 10.0 * limit + 500, overfull)
    assert engine.windows(3)[1:] == [93, 100]
    assert set(engine.windows(PATIENCE - 2)) == {100}


def test_where_nothing_is_preempted_all_are_let_in():
    engine = Engine(100, lambda limit: 1000, lambda limit: 0.0)
    assert set(engine.windows(10)) == {100}


def test_nothing_is_concluded_from_few_tokens():
    engine = Engine(100, lambda limit: 10, lambda limit: 0.5)
    assert set(engine.windows(10)) == {100}


async def test_there_is_room_again_when_answers_get_shorter():
    engine = Engine(100, lambda limit: 1000 * (1 - overfull(limit)), overfull)
    few = engine.windows(40)[-1]
    engine.again, engine.used = (lambda limit: 0.0), (lambda limit: 0.5)

    async def request():
        async with engine.admission.admitted():
            await asyncio.sleep(3600)

    requests = [asyncio.create_task(request()) for _ in range(150)]
    await asyncio.sleep(0)
    assert engine.admission.waiting == 150 - few
    assert engine.windows(20)[-1] == 100
    assert engine.admission.waiting == 0
    for one in requests:
        one.cancel()
    await asyncio.gather(*requests, return_exceptions=True)


async def test_nothing_is_concluded_before_those_have_ended_that_are_too_many():
    engine = Engine(100, lambda limit: 1000, lambda limit: 0.5)
    requests = [await let_in(engine.admission) for _ in range(150)]
    assert engine.windows(8)[-1] == 93
    for request in requests[93:]:
        await request.aclose()
    assert engine.windows(8)[-1] < 93


async def test_a_batch_is_no_bound_where_nothing_is_preempted_so_that_the_engine_has_the_next_request_at_hand():
    admission = Admission(4)
    for _ in range(8):
        await asyncio.wait_for(let_in(admission), 60)
    assert admission.waiting == 0


async def test_requests_are_let_in_in_the_order_they_came_and_those_given_up_take_no_place():
    admission, order = Admission(2), []
    admission.limit = 1
    ends = [asyncio.Event() for _ in range(4)]

    async def request(number):
        async with admission.admitted():
            order.append(number)
            await ends[number].wait()

    requests = [asyncio.create_task(request(number)) for number in range(4)]
    await asyncio.sleep(0)
    requests[1].cancel()
    for number in (0, 2, 3):
        for _ in range(3):
            await asyncio.sleep(0)
        ends[number].set()
    await asyncio.gather(*requests, return_exceptions=True)
    assert order == [0, 2, 3] and admission.waiting == 0


async def test_one_that_is_cancelled_as_it_is_let_in_gives_its_place_back():
    admission = Admission(2)
    admission.limit = 1
    first = await let_in(admission)
    waiting = [asyncio.create_task(let_in(admission)) for _ in range(2)]
    await asyncio.sleep(0)
    await first.aclose()
    waiting[0].cancel()
    await asyncio.wait_for(waiting[1], 60)
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
