"""A step that never ends is bounded, and what it waits for that is ours to give does not count."""

import asyncio
import contextlib

import pytest

from synth import own_time
from synth.own_time import OwnTime, ours
from tests.schedule.virtual_time import VirtualTimePolicy


@pytest.fixture(scope="module")
def event_loop_policy():
    """Time is what the steps are told to take, however busy the machine is."""
    return VirtualTimePolicy()


async def test_what_takes_too_long_is_cancelled_and_the_task_goes_on():
    own = OwnTime(0.05)
    with pytest.raises(asyncio.CancelledError), own:
        await asyncio.sleep(60)
    assert own.over and not asyncio.current_task().cancelling()
    await asyncio.sleep(0.01)


async def test_what_is_waited_for_that_is_ours_does_not_count():
    own = OwnTime(0.1)
    with own:
        for _ in range(4):
            with ours():
                await asyncio.sleep(0.06)
    assert not own.over


async def test_calls_side_by_side_in_other_tasks_count_as_one_wait():
    async def call(seconds):
        with ours():
            await asyncio.sleep(seconds)

    own = OwnTime(0.1)
    with own:
        async with asyncio.TaskGroup() as group:
            for seconds in (0.05, 0.2, 0.3):
                group.create_task(call(seconds))
    assert not own.over
    own = OwnTime(0.1)
    with pytest.raises(asyncio.CancelledError), own:
        await call(0.05)
        await asyncio.sleep(60)
    assert own.over


async def test_the_end_of_the_run_is_not_taken_for_the_steps_own():
    own = OwnTime(60)

    async def step():
        with own:
            await asyncio.sleep(60)

    task = asyncio.create_task(step())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not own.over and task.cancelled()


async def test_who_takes_no_cancellation_is_told_of_and_who_does_is_not(monkeypatch):
    monkeypatch.setattr(own_time, "GRACE_S", 0.05)
    stuck = []
    with OwnTime(0.02, lambda: stuck.append("stubborn")):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(0.2)
    with contextlib.suppress(asyncio.CancelledError), OwnTime(0.02, lambda: stuck.append("mild")):
        await asyncio.sleep(60)
    await asyncio.sleep(0.1)
    assert stuck == ["stubborn"]


async def test_a_task_that_a_step_leaves_behind_does_not_bound_what_comes_after_it():
    async def left_behind():
        with ours():
            await asyncio.sleep(0.05)

    with OwnTime(0.1) as own:
        task = asyncio.create_task(left_behind())
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.25)
    assert task.done() and not own.over


async def test_no_bound_is_none():
    with OwnTime(None) as own:
        await asyncio.sleep(0.01)
        with ours():
            await asyncio.sleep(0.01)
    assert not own.over
    with ours():  # outside of any step
        await asyncio.sleep(0)
