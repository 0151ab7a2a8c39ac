"""What waits to be launched: it is launched once it is needed, and cancelled when it never will be."""

import asyncio
import math

from synth.schedule.backlog import Backlog
from synth.schedule.needed import Needed


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_another_shard_is_wanted_when_nearly_all_records_are_launched():
    backlog = Backlog()
    backlog.add(3)
    waiting = asyncio.create_task(backlog.at_most(1))
    await settled()
    backlog.take(1)
    await settled()
    assert not waiting.done()
    backlog.take(1)
    await waiting
    assert backlog.count == 1


async def test_a_record_waits_until_it_is_known_whether_it_is_needed():
    backlog = Backlog()
    backlog.follow(Needed(launch=5))
    assert await asyncio.create_task(backlog.is_needed(4))
    waiting = asyncio.create_task(backlog.is_needed(5))
    await settled()
    assert not waiting.done()
    backlog.follow(Needed(launch=6))
    assert await waiting


async def test_records_from_the_cut_on_are_cancelled_and_the_lowest_cut_is_kept():
    backlog = Backlog()
    low, high = [asyncio.create_task(asyncio.Event().wait()) for _ in range(2)]
    backlog.note(low, 6)
    backlog.note(high, 7)
    backlog.follow(Needed(launch=7, cut=7))
    await settled()
    assert high.cancelled() and not low.done()
    assert not await asyncio.create_task(backlog.is_needed(7))
    backlog.follow(Needed())
    assert (backlog.needed.cut, backlog.lowest_cut) == (math.inf, 7)
    low.cancel()
