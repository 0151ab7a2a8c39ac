"""DedupKeys: the same duplicates in whatever order they come in, whatever is lost, and whoever is asked again."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.quality.duplicates import DedupKeys, Part, parts_for
from synth.quality.exact_duplicate import ExactMatches
from synth.records import DedupKey, Duplicate, as_id, as_place

STEPS = ("first", "second")
MOST = 12
SHARD = 3

# What each record claims at both steps, or None where another filter ends it before. A list: a fan-out after the first.
keys = st.one_of(st.none(), st.sampled_from("abc"))
records = st.lists(st.tuples(keys, st.one_of(keys, st.lists(keys, min_size=1, max_size=3))), max_size=MOST)


def claims(parts=1, matches=ExactMatches):
    duplicates = {step: matches() for step in STEPS}
    return DedupKeys(duplicates, [Part(duplicates, number, parts) for number in range(parts)])


def rows(number, plan):
    """Places of the rows that a record has if nothing is a duplicate, and all that it would claim, in order."""
    first, second = plan
    if first is None:
        return [], []
    made = [DedupKey("first", (number,), first.encode())]
    branches = {(number, child): key for child, key in enumerate(second)} if isinstance(second, list) else None
    after = branches or {(number,): second}
    made += [DedupKey("second", place, key.encode()) for place, key in after.items() if key is not None]
    return [place for place, key in after.items() if key is not None], made


def by_hand(plans):
    """The rule, word for word, over all records in order."""
    kept, there = [], {step: set() for step in STEPS}
    for number, plan in enumerate(plans):
        places, made = rows(number, plan)
        lost = []
        for claim in made:
            if any(claim.place[: len(other)] == other for other in lost):
                continue
            if claim.key in there[claim.step]:
                lost.append(claim.place)
            there[claim.step].add(claim.key)
        kept += [place for place in places if not any(place[: len(other)] == other for other in lost)]
    return kept


class Run:
    """A run whose events come in any order: claims, lost workers, finalizations, a restart."""

    def __init__(self, plans, rng, lives, *kind):
        self.plans, self.rng, self.lives, self.kind = plans, rng, lives, kind
        self.claims, self.log = claims(*kind), []
        self.journal = {}  # finished records: their rows and claims
        self.running = {}
        self.kept = []
        self.spared = 0

    async def go(self):
        while self.claims.finalized < len(self.plans):
            await self.rng.choice([self.advance, self.advance, self.advance, self.lose, self.finalize, self.restart])()
        return self.kept

    async def advance(self):
        """One record makes its next claim; it ends where it hears of a twin, as a step does."""
        waiting = [number for number in range(len(self.plans)) if number not in self.journal]
        if not waiting:
            return
        number = self.rng.choice(waiting)
        places, made = rows(number, self.plans[number])
        done, dead = self.running.setdefault(number, ([], []))
        left = [
            claim
            for claim in made
            if claim not in done and not any(claim.place[: len(other)] == other for other in dead)
        ]
        if not left:
            alive = [place for place in places if not any(place[: len(other)] == other for other in dead)]
            self.journal[number] = (alive, done)
            return
        done.append(left[0])
        if await self.claims.claim(left[0]) is not None:
            self.spared += 1
            dead.append(left[0].place)

    async def lose(self):
        """A worker dies: what ran on it runs again from the start."""
        if self.lives and self.running:
            self.lives -= 1
            self.running.pop(self.rng.choice(list(self.running)))

    async def finalize(self):
        start = self.claims.finalized
        numbers = range(start, min(start + SHARD, len(self.plans)))
        if not numbers or any(number not in self.journal for number in numbers):
            return
        made = [claim for number in numbers for claim in self.journal[number][1]]
        duplicates = await self.claims.finalize(numbers, self.rng.sample(made, len(made)))
        self.log.append((numbers, made, duplicates))
        alive = [place for number in numbers for place in self.journal[number][0]]
        self.kept += [place for place in alive if not any(duplicate.covers(place) for duplicate in duplicates)]

    async def restart(self):
        """The process with the claims dies, and all that runs with it: the log and the journals are there."""
        if self.lives:
            self.lives -= 1
            self.claims, self.running = claims(*self.kind), {}
            for entry in self.log:
                await self.claims.restore(*entry)


class SpreadMatches(ExactMatches):
    """Keys that are alike where they are equal, divided by records all the same."""

    by_key = False


@pytest.mark.parametrize("kind", [(1,), (3,), (3, SpreadMatches)])
@given(records, st.integers(0, 2**32), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_the_same_rows_are_kept_in_any_order_of_events_and_in_any_number_of_parts(kind, plans, seed, lives):
    assert asyncio.run(Run(plans, random.Random(seed), lives, *kind).go()) == by_hand(plans)


async def test_records_in_order_learn_of_their_twins_at_once():
    found = claims()
    result = [await found.claim(DedupKey("first", (number,), b"a")) for number in range(3)]
    assert result == [None, (0,), (0,)]


async def test_a_record_that_was_kept_gives_way_to_a_lower_one_that_comes_later():
    found = claims()
    assert await found.claim(DedupKey("first", (7,), b"a")) is None
    assert await found.claim(DedupKey("first", (2,), b"a")) is None
    duplicates = await found.finalize(range(10), [DedupKey("first", (7,), b"a"), DedupKey("first", (2,), b"a")])
    assert duplicates == [Duplicate("first", "exact_duplicate", (7,), (2,))]
    assert duplicates[0].rejection.detail == "like 2"


async def test_a_record_is_like_one_that_was_a_duplicate_itself():
    found = claims()
    made = [DedupKey("first", (number,), key) for number, key in enumerate([b"a", b"a", b"a"])]
    assert [one.place for one in await found.finalize(range(3), made)] == [(1,), (2,)]


async def test_a_duplicate_of_the_first_step_claims_nothing_at_the_second():
    found = claims()
    made = [
        DedupKey("first", (0,), b"a"),
        DedupKey("first", (1,), b"a"),
        DedupKey("second", (1,), b"x"),
        DedupKey("first", (2,), b"b"),
        DedupKey("second", (2,), b"x"),
    ]
    assert [one.place for one in await found.finalize(range(3), made)] == [(1,)]


async def test_what_was_settled_is_the_same_after_a_restart():
    made = [
        DedupKey("first", (0,), b"a"),
        DedupKey("first", (1,), b"a"),
        DedupKey("second", (1,), b"x"),
        DedupKey("second", (0,), b"y"),
    ]
    before = claims()
    duplicates = await before.finalize(range(2), made)
    after = claims()
    await after.restore(range(2), made, duplicates)
    for found in (before, after):
        asked = [DedupKey(step, (2,), key) for step, key in [("first", b"a"), ("second", b"x"), ("second", b"y")]]
        assert [await found.claim(one) for one in asked] == [(0,), None, (0,)]


async def test_a_claim_at_the_second_step_is_no_reason_to_stop_before_it_is_settled():
    found = claims()
    await found.claim(DedupKey("first", (1,), b"a"))
    assert await found.claim(DedupKey("second", (1,), b"x")) is None
    assert await found.claim(DedupKey("second", (5,), b"x")) is None
    await found.finalize(range(2), [DedupKey("first", (1,), b"a"), DedupKey("second", (1,), b"x")])
    assert await found.claim(DedupKey("second", (5,), b"x")) == (1,)


async def test_a_claim_of_a_life_that_was_lost_is_forgotten():
    found = claims()
    await found.claim(DedupKey("first", (0,), b"other words"))
    assert await found.finalize(range(2), [DedupKey("first", (1,), b"other words")]) == []


async def test_a_claim_that_is_made_again_with_other_words_takes_the_place_of_the_first():
    found = claims()
    await found.claim(DedupKey("first", (0,), b"a"))
    await found.claim(DedupKey("first", (0,), b"b"))
    assert await found.claim(DedupKey("first", (1,), b"a")) is None
    assert await found.claim(DedupKey("first", (1,), b"b")) == (0,)


def test_all_rows_of_a_record_that_lost_are_covered_and_no_others():
    lost = Duplicate("first", "exact_duplicate", (17,), (3,))
    assert [lost.covers(as_place(id)) for id in ("17", "17/0", "17/0/1", "1", "170")] == [True] * 3 + [False] * 2
    assert as_id(as_place("17/0/1")) == "17/0/1"


async def test_a_shard_can_not_be_settled_before_those_below_it():
    with pytest.raises(ValueError, match="records 0 to 4 are not finalized yet"):
        await claims().finalize(range(5, 8), [])


async def test_most_duplicates_are_spared_when_lower_numbers_tend_to_come_first():
    rng = random.Random(0)
    keys = [rng.choice(range(50)) for _ in range(500)]
    found, spared = claims(), 0
    for number in sorted(range(500), key=lambda number: number + rng.uniform(0, 64)):  # 64 in flight
        spared += await found.claim(DedupKey("first", (number,), bytes([keys[number]]))) is not None
    assert spared > 0.9 * (500 - len(set(keys)))


def test_a_run_has_as_many_parts_as_its_records_take():
    assert [parts_for({"first": ExactMatches()}, records) for records in (0, 1, 20_000_000, 20_000_001)] == [1, 1, 1, 2]
