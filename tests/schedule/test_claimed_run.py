"""Whole runs with steps against duplicates, workers in this process: the dataset is that of one pass over all records
in their order, on any topology, and nobody waits for a lower record but a commit.

The engine is scripted: what it says depends on the seed alone and comes again and again, how long it takes on neither.
"""

import asyncio
import random
from collections import Counter
from typing import ClassVar

import pytest

from synth.engines import Answer, EngineError
from synth.engines.simulated import Simulated
from synth.quality.duplicates import DedupKeys
from synth.records import derive_seed
from synth.schedule import scheduler as module
from synth.schedule.first_records import StepsFail
from synth.schedule.shared import SharedLost
from synth.storage.journal import Journal
from tests.schedule.local import LocalRun

WANTED = 40
WORDS = [f"{word} {other}" for word in "tall old red wild cold long".split() for other in "trees songs bees".split()]
MAGPIE = {"_target_": "synth.steps.magpie.Magpie", "only_instruction": True}
ASKED = {"_target_": "synth.quality.exact_duplicate.ExactDuplicate"}
RESPOND = {"_target_": "synth.steps.respond.Respond"}
ANSWERED = {"_target_": "synth.quality.exact_duplicate.ExactDuplicate", "column": "response"}


class Repeating(Simulated):
    """Breaks for good after `breaks_after` calls, or at a call with the seed `poison`. The call with the seed `slow`
    is not answered before the one with the seed `after` is, by any engine, or anybody has put that into `answered`."""

    breaks_after = 10**9
    poison = slow = after = None
    answered: ClassVar[set] = set()
    calls = 0

    async def generate(self, prompt, sampling):
        self.calls += 1
        if sampling.seed == self.poison and self.poison is not None:
            self.breaks_after = 0
        await asyncio.sleep(random.random() * 0.01)
        while sampling.seed == self.slow and self.slow is not None and self.after not in self.answered:
            await asyncio.sleep(0.01)
        if self.calls > self.breaks_after:
            raise EngineError("scripted break")
        rng = random.Random(sampling.seed)
        text = f"{rng.choice(WORDS)} and {rng.choice(WORDS)[:4]}"
        self.answered.add(sampling.seed)
        return Answer([0] * 5, "stop", len(prompt), text=text)


class Run(LocalRun):
    def __init__(self, folder, replicas=1, shard_size=5, in_flight=8, steps=None, breaks_after=10**9, **given):
        seeds = {name: given.pop(name, None) for name in ("poison", "slow", "after")}
        self.engines, self.answered = [], set()

        def engine():
            engine = Repeating()
            engine.breaks_after, engine.answered = breaks_after, self.answered
            engine.poison, engine.slow, engine.after = seeds.values()
            self.engines.append(engine)
            return engine

        steps = steps or [MAGPIE, ASKED, RESPOND, ANSWERED]
        super().__init__(folder, steps, engine, WANTED, replicas, shard_size, in_flight, **given)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "STOP_GRACE_S", 1)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The rows of a run without steps against duplicates."""
    run = LocalRun(tmp_path_factory.mktemp("everything"), [MAGPIE, RESPOND], Repeating, 6 * WANTED)
    return asyncio.run(run.go()).rows


@pytest.fixture(scope="module")
def in_order(everything):
    """What one pass over them leaves."""
    asked, answered, kept = set(), set(), []
    for row in everything:
        if row["instruction"] not in asked and row["response"] not in answered:
            kept.append(row)
        if row["instruction"] not in asked:
            answered.add(row["response"])
        asked.add(row["instruction"])
    assert len(kept) > WANTED
    return kept[:WANTED]


def assert_same(run, in_order):
    assert run.plan.done
    assert run.rows == in_order


@pytest.mark.parametrize(
    ("replicas", "shard_size", "in_flight"), [(1, 5, 8), (1, 16, 1), (3, 3, 8), (3, 8, 2), (2, 1, 1), (4, 2, 64)]
)
async def test_the_dataset_is_that_of_one_pass_in_order(tmp_path, in_order, replicas, shard_size, in_flight):
    assert_same(await Run(tmp_path, replicas, shard_size, in_flight).go(), in_order)


async def test_some_duplicates_end_early_and_the_others_when_their_shard_is_settled(tmp_path, everything):
    asked = [row["instruction"] for row in everything[:WANTED]]
    first = next(number for number, words in enumerate(asked) if words in asked[number + 1 :])
    again = asked.index(asked[first], first + 1)
    slow, after = derive_seed(0, str(first), "Magpie", 0), derive_seed(0, str(again), "Respond", 0)
    run = await Run(tmp_path, 3, 4, slow=slow, after=after).go()
    ended = [row for row in run.rejected if row["rejected_by"] == "ExactDuplicate"]
    early = [row for row in ended if row["response"] is None]
    late = [row for row in ended if row["response"] is not None]
    assert early and late
    for row in ended:
        other = int(row["detail"].removeprefix("like "))
        assert (row["reason"], other < int(row["id"])) == ("exact_duplicate", True)
        assert row["usage"]["completion_tokens"] == (5 if row["response"] is None else 10)
    wasted = sum(summary.wasted_tokens for summary in run.summaries)
    assert wasted == sum(row["usage"]["completion_tokens"] for row in run.rejected)
    assert sum(summary.reasons.get("ExactDuplicate: exact_duplicate", 0) for summary in run.summaries) == len(ended)
    spent = [summary.spent.get("ExactDuplicate: exact_duplicate", {}) for summary in run.summaries]
    calls = sum((Counter({step: one.calls for step, one in steps.items()}) for steps in spent), Counter())
    assert calls == {"Magpie": len(ended), "Respond": len(late)}
    ids = [int(row["id"]) for row in run.rejected]
    assert ids == sorted(ids)


async def test_late_duplicates_are_not_counted_among_what_was_made(tmp_path):
    run = Run(tmp_path, 1, 16)
    await run.go()
    (local,) = run.locals
    columns = run.config.strategy.columns
    there = [shard for shard in run.plan.shards if run.folder.journal(shard.index).exists()]
    # The journal of a shard that was committed short has its committed records too.
    stops = {summary.start: summary.stop for summary in run.summaries}
    left = 0
    for shard in there:
        journal = Journal.open(run.folder.journal(shard.index), columns, f"fingerprint {shard.start} {shard.stop}")
        beyond = stops.get(shard.start, shard.start)
        left += sum(kept for number, kept in journal.finished.items() if number >= beyond)
    assert (await local.worker.counters()).made == left + sum(summary.kept for summary in run.summaries)


async def test_records_above_a_slow_one_go_on_and_only_commits_wait(tmp_path, in_order):
    run = Run(tmp_path, 2, 4, slow=derive_seed(0, "1", "Respond", 0))
    running = asyncio.create_task(run.go())
    while sum(engine.calls for engine in run.engines) <= WANTED:
        await asyncio.sleep(0.01)
        assert not running.done()
    assert not run.committed
    run.answered.add(None)
    assert_same(await running, in_order)


async def test_the_dataset_is_the_same_when_workers_are_lost(tmp_path, in_order):
    run = Run(tmp_path, 3, 3, workers=lambda index, count: {"lives": 2 + index} if count < 3 else {})
    assert_same(await run.go(), in_order)
    assert sum(run.spawned) > 3


async def test_finished_shards_that_wait_are_no_reason_not_to_take_the_one_that_they_wait_for(tmp_path, in_order):
    def workers(index, count):
        return {} if index else {"lives": 1, "hangs": True} if count == 0 else {"starts": False}

    assert_same(await Run(tmp_path, 2, 5, 4, workers=workers).go(), in_order)


async def test_an_engine_that_breaks_changes_nothing(tmp_path, in_order):
    assert_same(await Run(tmp_path, 2, 4, breaks_after=40).go(), in_order)


async def test_a_record_that_breaks_every_engine_is_set_aside_and_shards_above_it_are_committed(tmp_path):
    run = await Run(tmp_path, 1, 8, poison=derive_seed(0, "11", "Magpie", 0)).go()
    assert run.plan.done and len(run.rows) == WANTED
    assert [row["id"] for row in run.rejected if row["reason"] == "poison"] == ["11"]


@pytest.mark.parametrize("stops", [1, 4])
async def test_a_stopped_run_goes_on_to_the_same_dataset(tmp_path, in_order, stops):
    for stop in range(stops):
        run = Run(tmp_path, 1 + stop % 2, 4, slow=derive_seed(0, "1", "Respond", 0))
        running = asyncio.create_task(run.go())
        await asyncio.sleep(0.2)
        run.scheduler.stop()
        await running
    assert_same(await Run(tmp_path, 2, 4).go(), in_order)


async def test_claims_that_can_not_be_written_down_end_the_run_at_once(tmp_path, monkeypatch):
    def full(*given):
        raise OSError("no space left on device")

    monkeypatch.setattr("synth.schedule.dedup_keys.write_dedup_keys", full)
    run = Run(tmp_path, 2, 4)
    with pytest.raises(SharedLost, match="no space left on device"):
        await run.go()
    assert max(run.spawned) == 1
    assert not run.committed


async def test_an_index_that_fails_at_a_record_ends_it_as_any_error_of_a_step_does(tmp_path, monkeypatch):
    async def claim(claims, claim):
        raise ValueError("an odd key")

    monkeypatch.setattr(DedupKeys, "claim", claim)
    run = Run(tmp_path, steps=[MAGPIE, ASKED])
    with pytest.raises(StepsFail, match=r"of the first 50 records are errors, most of them .*: ValueError: an odd key"):
        await run.go()
