"""Engines that start at once: the first one alone, the others after it."""

import asyncio
import fcntl
import os

import pytest

from synth.engines import first_start
from synth.engines.first_start import first_alone, is_on_network


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(first_start, "POLL_S", 0.005)


async def starts(folder, count, key="a", fails=()):
    """How many were starting at each start, in their order."""
    now, seen = 0, []

    async def start(number):
        nonlocal now
        async with first_alone(folder, key):
            now += 1
            seen.append(now)
            await asyncio.sleep(0.05)
            now -= 1
            if number in fails:
                raise RuntimeError

    await asyncio.gather(*map(start, range(count)), return_exceptions=True)
    return seen


async def test_the_first_goes_alone_and_the_others_together_after_it(tmp_path):
    assert await starts(tmp_path / "new", 5) == [1, 1, 2, 3, 4]
    assert await starts(tmp_path / "new", 3) == [1, 2, 3]


async def test_engines_of_another_configuration_do_not_wait(tmp_path):
    assert (await asyncio.gather(starts(tmp_path, 1, "a"), starts(tmp_path, 1, "b"))) == [[1], [1]]


async def test_after_one_that_fails_the_next_goes_alone(tmp_path):
    assert (await starts(tmp_path, 3, fails={0}))[:2] == [1, 1]


async def test_where_nothing_can_be_written_all_go_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    assert await starts(tmp_path / "file", 3) == [1, 2, 3]


async def test_the_turn_of_a_process_that_is_gone_is_the_next_ones(tmp_path):
    file = os.open(tmp_path / "a.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    waiting = asyncio.create_task(starts(tmp_path, 1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    os.close(file)
    assert await waiting == [1]


def test_a_folder_that_other_machines_serve_is_known_by_its_mount(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/models {tmp_path}/models lustre rw 0 0\n")
    assert is_on_network(tmp_path / "models" / "qwen3", mounts)
    assert not is_on_network(tmp_path, mounts)
    assert not is_on_network(tmp_path, tmp_path / "none")
