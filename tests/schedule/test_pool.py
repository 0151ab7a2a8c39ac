"""The pool: decided in the order of numbers, whoever offers when; on disk before anyone hears of it."""

import asyncio
import random

import pytest

from synth.quality.novelty import Novelty
from synth.schedule.pool import GrowingPool, PoolClient, Ticket
from synth.schedule.priority_semaphore import PrioritySemaphore
from synth.schedule.shared import SharedLost
from synth.steps.pool import PoolRules
from synth.storage.decisions import Decisions

RULES = PoolRules(("Name a tall tree.",), 0.7, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pool.jsonl"


@pytest.fixture
def pool(path):
    return grown(path)


def grown(path, rules=RULES):
    return GrowingPool(rules, Decisions(path))


async def waits(task):
    await asyncio.sleep(0.02)
    return not task.done()


async def test_texts_are_compared_with_seeds_lower_records_and_earlier_ones_of_their_own(pool):
    assert await pool.offer(0, ["Name a tall tree!", "Sing me a song.", "Sing me a song!"]) == [False, True, False]
    assert await pool.offer(1, ["Hum us one tune.", "Boil four eggs."]) == [True, True]
    assert await pool.offer(2, ["Boil four eggs."]) == [False]


async def test_an_offer_is_decided_when_all_lower_records_are(pool):
    third = asyncio.create_task(pool.offer(2, ["Sing me a song."]))
    assert await waits(third)
    await pool.passed([1])
    assert await waits(third)
    assert await pool.offer(0, ["Sing me a song."]) == [True]
    assert await third == [False]


@pytest.mark.parametrize("seed", range(5))
async def test_the_order_of_arrival_changes_nothing(tmp_path, seed):
    async def decided(path, order):
        pool = grown(path)
        return dict(zip(order, await asyncio.gather(*(pool.offer(n, offers(n)) for n in order)), strict=True))

    order = list(range(40))
    expected = await decided(tmp_path / "a.jsonl", order)
    random.Random(seed).shuffle(order)
    assert await decided(tmp_path / "b.jsonl", order) == expected
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    assert 20 < sum(map(sum, expected.values())) < 120


async def test_what_is_accepted_is_told_up_to_the_record_asked_for_from_what_is_known_on(pool):
    await asyncio.gather(*(pool.offer(n, offers(n)) for n in range(6)))
    end, texts = await pool.accepted(3, 0)
    assert end == len(texts) > 2
    assert await pool.accepted(3, 2) == (end, texts[2:])
    assert (await pool.accepted(6, 0))[1][:end] == texts
    assert await pool.accepted(-5, 0) == (0, [])


async def test_a_record_that_comes_again_is_told_what_was_decided(path, pool):
    first = [await pool.offer(n, offers(n)) for n in range(8)]
    assert [await pool.offer(n, offers(n)) for n in range(8)] == first
    resumed = grown(path)
    assert [await resumed.offer(n, offers(n)) for n in range(8)] == first
    assert await resumed.offer(3, ["Something else entirely here."]) == [False]


async def test_a_resumed_pool_goes_on_as_if_it_had_never_stopped(tmp_path):
    whole, halves = tmp_path / "whole.jsonl", tmp_path / "halves.jsonl"
    expected = [await grown(whole).offer(n, offers(n)) for n in range(1)]
    pool = grown(whole)
    expected += [await pool.offer(n, offers(n)) for n in range(1, 20)]
    first = grown(halves)
    decided = [await first.offer(n, offers(n)) for n in range(9)]
    with halves.open("a") as file:
        file.write('{"record": 9, "accep')
    second = grown(halves)
    decided += [await second.offer(n, offers(n)) for n in range(9, 20)]
    assert decided == expected
    assert whole.read_text() == halves.read_text()


async def test_records_that_are_finished_already_are_not_waited_for(pool):
    await pool.passed(range(5))
    assert await pool.offer(5, ["Sing me a song."]) == [True]


async def test_a_decision_is_on_disk_before_it_is_told(path, pool, monkeypatch):
    append = Decisions.append

    def slow(self, decisions):
        assert not offered.done()
        append(self, decisions)

    monkeypatch.setattr(Decisions, "append", slow)
    offered = asyncio.create_task(pool.offer(0, ["Sing me a song."]))
    await offered
    assert Decisions(path).found == [["Sing me a song."]]


async def test_a_disk_that_fails_is_told_to_all_who_wait_and_to_all_who_come(pool, monkeypatch):
    def full(self, decisions):
        raise OSError("no space left on device")

    monkeypatch.setattr(Decisions, "append", full)
    waiting = asyncio.create_task(pool.offer(5, ["Sing me a song."]))
    await asyncio.sleep(0)
    with pytest.raises(SharedLost, match="no space left"):
        await pool.offer(0, [])
    with pytest.raises(SharedLost, match="no space left"):
        await waiting
    with pytest.raises(SharedLost, match="no space left"):
        await pool.accepted(3, 0)


async def test_a_record_begins_when_the_one_lag_before_it_is_decided(pool):
    client = PoolClient(pool, RULES)
    assert [await client.turn(n) for n in range(4)] == [0] * 4
    turn = asyncio.create_task(client.turn(4))
    assert await waits(turn)
    await pool.offer(0, ["Sing me a song.", "Boil four eggs."])
    assert await turn == 2
    assert client.accepted == ["Sing me a song.", "Boil four eggs."]


async def test_a_record_sees_no_more_than_its_number_lets_it_however_late_it_is(pool):
    client = PoolClient(pool, RULES)
    await asyncio.gather(*(pool.offer(n, [f"Task {n} of its own."]) for n in range(20)))
    await client.turn(19)
    ticket = Ticket(client, 6, await client.turn(6), await PrioritySemaphore(1).acquire(6))
    assert list(await ticket.examples()) == client.accepted[:3]


async def test_turns_side_by_side_copy_nothing_twice(pool):
    client = PoolClient(pool, RULES)
    turns = [asyncio.create_task(client.turn(n)) for n in (9, 7, 8)]
    await asyncio.sleep(0)
    await asyncio.gather(*(pool.offer(n, offers(n)) for n in range(10)))
    await asyncio.gather(*turns)
    assert client.accepted == (await pool.accepted(6, 0))[1]


async def test_a_record_that_waits_has_no_slot(pool):
    semaphore = PrioritySemaphore(1)
    ticket = Ticket(PoolClient(pool, RULES), 1, 0, await semaphore.acquire(1))
    offered = asyncio.create_task(ticket.offer(["Sing me a song."]))
    slot = await semaphore.acquire(0)
    lower = Ticket(PoolClient(pool, RULES), 0, 0, slot)
    async with asyncio.timeout(1):
        await lower.leave()
    assert await waits(offered)  # it is decided, and the slot is the lower one's
    slot.release()
    assert await offered == [True]


async def test_a_record_offers_once(pool):
    ticket = Ticket(PoolClient(pool, RULES), 0, 0, await PrioritySemaphore(1).acquire(0))
    await ticket.offer([])
    with pytest.raises(RuntimeError, match="once"):
        await ticket.offer([])


def offers(number):
    """What a record offers: some texts of its own, some that others offer too."""
    rng = random.Random(number)
    words = "name boil sing draw count list find a an the four tall red trees eggs songs birds of for in".split()
    return [" ".join(rng.choices(words, k=rng.randint(3, 5))) for _ in range(2)] + [
        f"Shared task {number % 7} of them."
    ]


async def test_a_pool_that_can_not_decide_is_lost_and_nobody_waits_for_it(pool, monkeypatch):
    later = asyncio.create_task(pool.offer(1, ["Sing me a song."]))
    await asyncio.sleep(0)

    def broken(self, text):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Novelty, "is_novel", broken)
    async with asyncio.timeout(5):
        for offer in (pool.offer(0, ["Boil four eggs."]), later, pool.accepted(2, 0)):
            with pytest.raises(SharedLost, match="a mistake of ours"):
                await offer
