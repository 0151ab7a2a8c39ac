"""What records share, as a process: workers reach it by a handle, and its end is told to all who wait."""

import asyncio
import os
import signal

import psutil
import pytest

from synth.configuration.settings import Cluster
from synth.schedule.cluster import connected
from synth.schedule.pool import PoolProcess
from synth.schedule.shared import SharedLost, SharedProcess
from synth.steps.pool import PoolRules
from synth.storage.decisions import Decisions
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import config

RULES = PoolRules(("Name a tall tree.",), 0.7, 4)


async def test_a_pool_that_is_killed_is_lost_to_all_who_wait_and_another_one_goes_on(tmp_path):
    folder = RunFolder(tmp_path)
    folder.make()
    async with connected(Cluster(replicas=1), config().engine):
        pool = SharedProcess("pool", PoolProcess, RULES, folder.path, [range(0, 3)], "abc", calls=10)
        await pool.start()
        assert await pool.offer(3, ["Name a tall tree.", "Sing me a song."]) == [False, True]
        assert await pool.accepted(4, 0) == (1, ["Sing me a song."])
        waiting = asyncio.create_task(pool.offer(5, ["Boil four eggs."]))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        below = psutil.Process().children(recursive=True)
        [process] = [one for one in below if one.name().startswith("ray::PoolProcess")]
        os.kill(process.pid, signal.SIGKILL)
        async with asyncio.timeout(120):
            with pytest.raises(SharedLost, match="run again to resume"):
                await waiting
            with pytest.raises(SharedLost):
                await pool.passed([4])
        assert Decisions(folder.pool, "abc").found == [[], [], [], ["Sing me a song."]]

        again = SharedProcess("pool", PoolProcess, RULES, folder.path, [], "abc", calls=10)
        await again.start()
        assert await again.offer(3, ["Name a tall tree.", "Sing me a song."]) == [False, True]
        assert await again.offer(4, ["Sing me a song!", "Boil four eggs."]) == [False, True]
        again.kill()
