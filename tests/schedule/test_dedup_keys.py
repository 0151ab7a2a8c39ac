"""DedupKeys that are finalized shard by shard: in order whoever comes first, on disk before anybody hears of it."""

import asyncio

import pytest

from synth.quality.exact_duplicate import ExactMatches
from synth.records import DedupKey, Shard
from synth.schedule.dedup_keys import KeyFinalizer
from synth.schedule.shared import SharedLost
from synth.storage.dedup_keys import read_dedup_keys
from synth.storage.run_folder import RunFolder

SHARDS = [Shard(index, 2 * index, 2 * index + 2) for index in range(4)]
KEYS = [b"a", b"b", b"b", b"c", b"c", b"a", b"d", b"d"]
LIKE = [{}, {2: 1}, {4: 3, 5: 0}, {7: 6}]  # of each shard: what is like what


def dedup_keys_of(shard):
    return [DedupKey("step", (number,), KEYS[number]) for number in range(shard.start, shard.stop)]


def like(duplicates):
    return {duplicate.place[0]: duplicate.like[0] for duplicate in duplicates}


@pytest.fixture
def begin(tmp_path):
    RunFolder(tmp_path).make()

    async def begin(fingerprint="run"):
        claims = KeyFinalizer({"step": ExactMatches()}, tmp_path, fingerprint, SHARDS)
        await claims.start()
        return claims

    return begin


async def finalized(claims, *indices):
    return [like(await claims.finalize(SHARDS[index], dedup_keys_of(SHARDS[index]))) for index in indices]


async def test_shards_that_come_in_any_order_are_settled_in_order(begin):
    claims = await begin()
    tasks = {index: asyncio.create_task(finalized(claims, index)) for index in (2, 3, 1)}
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks.values())
    assert await finalized(claims, 0) == [LIKE[0]]
    assert [await tasks[index] for index in (1, 2, 3)] == [[LIKE[1]], [LIKE[2]], [LIKE[3]]]


async def test_who_asks_again_is_told_the_same_whatever_it_claims_now(begin):
    claims = await begin()
    assert await finalized(claims, 0, 1) == LIKE[:2]
    assert like(await claims.finalize(SHARDS[1], [])) == LIKE[1]


async def test_who_is_gone_while_it_waits_leaves_nothing_undone(begin):
    claims = await begin()
    gone = asyncio.create_task(finalized(claims, 1))
    await asyncio.sleep(0)
    gone.cancel()
    assert await finalized(claims, 0, 1, 2) == LIKE[:3]


async def test_a_run_that_goes_on_knows_what_was_settled(begin):
    assert await finalized(await begin(), 0, 1) == LIKE[:2]
    again = await begin()
    assert await again.claim(DedupKey("step", (9,), b"c")) == (3,)
    assert like(await again.finalize(SHARDS[1], [])) == LIKE[1]
    assert await finalized(again, 2, 3) == LIKE[2:]


async def test_what_is_on_disk_is_there_before_anybody_hears_of_it(begin, tmp_path, monkeypatch):
    def full(*given):
        raise OSError("no space left on device")

    claims = await begin()
    monkeypatch.setattr("synth.schedule.dedup_keys.write_dedup_keys", full)
    waiting = asyncio.create_task(finalized(claims, 1))
    with pytest.raises(SharedLost, match="no space left on device"):
        await finalized(claims, 0)
    with pytest.raises(SharedLost, match="no space left on device"):
        await waiting


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-30], lambda data: b"", lambda data: data.replace(b"step", b"pets")]
)
async def test_a_damaged_file_makes_a_gap_that_is_settled_again_and_what_is_above_it_stays(begin, tmp_path, spoil):
    assert await finalized(await begin(), 0, 1, 2) == LIKE[:3]
    path = RunFolder(tmp_path).claims(1)
    path.write_bytes(spoil(path.read_bytes()))
    assert read_dedup_keys(RunFolder(tmp_path), SHARDS[1], "run") is None
    again = await begin()
    above = asyncio.create_task(finalized(again, 3))
    await asyncio.sleep(0.05)
    assert not above.done()
    assert await finalized(again, 1) == [LIKE[1]]
    assert await above == [LIKE[3]]
    assert like(await again.finalize(SHARDS[2], [])) == LIKE[2]


async def test_what_another_run_settled_is_not_gone_on_with(begin):
    assert await finalized(await begin(), 0, 1) == LIKE[:2]
    other = await begin("another run")
    assert await other.claim(DedupKey("step", (9,), b"a")) is None
