"""PrioritySemaphore: so many at once, the lowest number first, and none lost on the way."""

import asyncio

from synth.schedule.priority_semaphore import PrioritySemaphore


async def test_the_lowest_number_that_waits_is_next():
    semaphore, order = PrioritySemaphore(1), []
    first = await semaphore.acquire(50)

    async def wait(number):
        slot = await semaphore.acquire(number)
        order.append(number)
        slot.release()

    waiting = [asyncio.create_task(wait(number)) for number in (30, 10, 20)]
    await asyncio.sleep(0)
    first.release()
    await asyncio.gather(*waiting)
    assert order == [10, 20, 30]


async def test_a_slot_that_is_released_twice_is_one_slot():
    semaphore = PrioritySemaphore(1)
    slot = await semaphore.acquire(0)
    slot.release()
    slot.release()
    await semaphore.acquire(1)
    second = asyncio.create_task(semaphore.acquire(2))
    await asyncio.sleep(0)
    assert not second.done()
    second.cancel()


async def test_a_slot_given_up_can_be_taken_again():
    semaphore = PrioritySemaphore(1)
    slot = await semaphore.acquire(0)
    slot.release()
    other = await semaphore.acquire(1)
    again = asyncio.create_task(slot.acquire())
    await asyncio.sleep(0)
    assert not again.done()
    other.release()
    await again


async def test_whoever_stops_waiting_takes_no_slot_along():
    semaphore = PrioritySemaphore(1)
    held = await semaphore.acquire(0)
    waiting = asyncio.create_task(semaphore.acquire(1))
    given = asyncio.create_task(semaphore.acquire(2))
    await asyncio.sleep(0)
    waiting.cancel()
    held.release()
    (await given).release()
    late = asyncio.create_task(semaphore.acquire(3))
    blocker = asyncio.create_task(semaphore.acquire(4))
    await asyncio.sleep(0)
    (await late).release()  # given to 4, which is cancelled before it hears of it
    blocker.cancel()
    await asyncio.gather(blocker, return_exceptions=True)
    async with asyncio.timeout(1):
        await semaphore.acquire(5)


async def test_more_slots_are_for_those_who_wait_and_fewer_take_none_away():
    semaphore = PrioritySemaphore(2)
    held = [await semaphore.acquire(0), await semaphore.acquire(1)]
    waiting = [asyncio.create_task(semaphore.acquire(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    semaphore.resize(4)
    await asyncio.sleep(0)
    assert [one.done() for one in waiting] == [True, True, False]
    semaphore.resize(1)
    for slot in held:
        slot.release()
    waiting[0].result().release()
    await asyncio.sleep(0)
    assert not waiting[2].done()
    waiting[1].result().release()
    await waiting[2]
