"""How many requests a server is asked at once, after what it has refused."""

import asyncio

import pytest

from synth.engines import EngineStats, rate_limit
from synth.engines.rate_limit import RateLimit
from tests.error_lines import check_line
from tests.schedule.virtual_time import VirtualTimePolicy


@pytest.fixture(scope="module")
def event_loop_policy():
    return VirtualTimePolicy()


@pytest.fixture
def load():
    return EngineStats()


@pytest.fixture
def limit(load):
    return RateLimit(16, "the server", load)


async def enter(limit, stay):
    async with limit.admitted() as ticket:
        await stay.wait()
    return ticket


async def running(limit, load, count):
    """How many of so many run at once, and those."""
    stay = asyncio.Event()
    tasks = [asyncio.create_task(enter(limit, stay)) for _ in range(count)]
    await asyncio.sleep(0)
    most = load.running
    stay.set()
    await asyncio.gather(*tasks)
    return most


async def test_after_a_refusal_half_as_many_run_and_then_more_with_each_round_of_answers(limit, load):
    assert await running(limit, load, 40) == 16
    limit.refused(0, 0.01, "slow down")
    await asyncio.sleep(0.05)
    assert await running(limit, load, 40) == 8
    for _ in range(200):
        limit.answered()
    assert await running(limit, load, 40) == 16
    assert (load.running, load.waiting) == (0, 0)


async def test_requests_that_were_sent_together_and_are_all_refused_count_once(limit, load):
    for _ in range(16):
        limit.refused(0, 0.01, "slow down")
    await asyncio.sleep(0.05)
    assert await running(limit, load, 40) == 8


async def test_a_server_that_refuses_for_good_is_asked_by_one_at_a_time(limit, load):
    for ticket in range(20):
        limit.refused(ticket, 0.001, "slow down")
    await asyncio.sleep(0.05)
    assert await running(limit, load, 40) == 1


async def test_a_pause_that_the_server_does_not_set_doubles_until_it_answers(limit, monkeypatch):
    monkeypatch.setattr(rate_limit.random, "uniform", lambda low, high: high)
    pauses = []
    for ticket in range(4):
        limit.refused(ticket, None, "slow down")
        pauses.append(round(limit.paused_s))
    assert pauses == [1, 2, 4, 8]
    limit.answered()
    await asyncio.sleep(10)
    assert limit.paused_s == 0
    limit.refused(4, None, "slow down")
    assert round(limit.paused_s) == 1


async def test_a_pause_is_said_in_the_log_once(limit, caplog):
    for _ in range(5):
        limit.refused(0, 0.01, "too many tokens a minute")
    [line] = caplog.messages
    check_line(line, "the server", "rate limit", "too many tokens a minute")


async def test_a_later_refusal_may_make_a_pause_longer_and_never_shorter(limit):
    limit.refused(0, 5, "slow down")
    limit.refused(0, 1, "slow down")
    assert limit.paused_s > 4
    limit.refused(0, 60, "slow down")
    assert limit.paused_s > 59


async def test_a_request_that_is_given_up_while_it_waits_takes_no_room(load):
    limit = RateLimit(1, "the server", load)
    stay = asyncio.Event()
    first, second, third = (asyncio.create_task(enter(limit, stay)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    stay.set()
    await asyncio.gather(first, third)
    assert second.cancelled() and (load.running, load.waiting) == (0, 0)


async def test_a_request_that_is_given_up_in_the_moment_it_is_let_in_leaves_its_room_to_others(load):
    limit = RateLimit(1, "the server", load)
    stay = asyncio.Event()
    first, second, third = (asyncio.create_task(enter(limit, stay)) for _ in range(3))
    await asyncio.sleep(0)
    stay.set()
    await first  # the second is let in, and has not run since
    second.cancel()
    await asyncio.wait([second, third])
    assert (load.running, load.waiting) == (0, 0)


async def test_who_asks_again_goes_first(load):
    limit = RateLimit(1, "the server", load)
    order = []

    async def ask(name, again=False):
        async with limit.admitted(again):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(ask("first"), ask("second"), ask("third"), ask("refused before", again=True))
    assert order == ["first", "refused before", "second", "third"]
