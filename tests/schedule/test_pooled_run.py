"""Whole runs with a pool, workers in this process: the same dataset on any topology, and no deadlock on any.

The engine is scripted: what it answers depends on the prompt and the seed alone, how long it takes on neither.
"""

import asyncio
import random
import zlib

import pytest

from synth.engines import Answer, EngineError
from synth.engines.simulated import Simulated
from synth.records import derive_seed
from synth.schedule import scheduler as module
from synth.schedule.shared import SharedLost
from synth.storage.decisions import Decisions
from tests.schedule.local import LocalRun

LAG = 16
WANTED = 60
VERBS = "Name Find List Sort Count Explain Describe Compare Rank Rewrite Sing Paint".split()
THINGS = "tall trees,old songs,red boats,wild bees,cold lakes,long roads,small towns,new words,warm days".split(",")


class Scripted(Simulated):
    """New tasks, a verdict, or an instance. Some answers are unusable. Breaks for good after `breaks_after` calls or
    at a call with the seed `poison`, or hangs from the first one on."""

    decode = None
    calls = 0
    breaks_after = 10**9
    hangs = False
    poison = None

    async def generate(self, prompt, sampling):
        self.calls += 1
        if sampling.seed == self.poison and self.poison is not None:
            self.breaks_after = 0
        await asyncio.sleep(3600 if self.hangs else random.random() * 0.004)
        if self.calls > self.breaks_after:
            raise EngineError("scripted break")
        rng, asked = random.Random(sampling.seed), self.decode(prompt)
        if "tasks that people might give" in asked:
            tasks = [f"{n}. {rng.choice(VERBS)} {rng.choice(THINGS)} for {rng.choice(THINGS)}." for n in range(1, 5)]
            # What was shown leaves its mark on what is made: were the examples others, so would be the dataset.
            tasks.append(f"5. Explain the word x{zlib.crc32(asked.encode()):x} to some {rng.choice(THINGS)}.")
            text = "\n".join(tasks) if rng.random() < 0.9 else ""
        elif "classification task, one" in asked:
            text = "No" if rng.random() < 0.9 else "Well"
        else:
            text = f"Input: (none)\nOutput: {rng.choice(THINGS)}"
        return Answer([0] * len(text.split()), "stop", len(prompt), text=text)


class Run(LocalRun):
    def __init__(self, folder, replicas=1, shard_size=8, in_flight=8, breaks_after=10**9, poison=None, **given):
        def engine():
            engine = Scripted()
            engine.breaks_after, engine.poison = breaks_after, poison
            return engine

        steps = [
            {"_target_": "synth.steps.self_instruct.Tasks", "pool_lag": LAG},
            {"_target_": "synth.steps.self_instruct.Instances"},
        ]
        super().__init__(folder, steps, engine, WANTED, replicas, shard_size, in_flight, **given)

    @property
    def decisions(self):
        return self.folder.pool.read_text().splitlines()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "STOP_GRACE_S", 1)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one worker makes without any mishap."""
    return asyncio.run(Run(tmp_path_factory.mktemp("alone")).go())


def assert_same(run, alone):
    assert len(run.rows) == WANTED
    assert run.rows == alone.rows
    common = min(len(run.decisions), len(alone.decisions))
    assert common > 20
    assert run.decisions[:common] == alone.decisions[:common]


def test_machine_made_tasks_come_into_the_prompts_and_alike_ones_are_left_out(alone):
    assert alone.plan.done
    accepted = [len(line) for line in alone.decisions]
    assert len(set(accepted)) > 3
    assert [row["id"] for row in alone.rows] == sorted((row["id"] for row in alone.rows), key=path)


def path(id):
    return [int(part) for part in id.split("/")]


@pytest.mark.parametrize(
    ("replicas", "shard_size", "in_flight"), [(3, 3, 8), (3, 8, 2), (2, 1, 1), (1, 16, 4), (4, 2, 64)]
)
async def test_the_dataset_is_the_same_on_any_topology(tmp_path, alone, replicas, shard_size, in_flight):
    assert_same(await Run(tmp_path, replicas, shard_size, in_flight).go(), alone)


async def test_the_dataset_is_the_same_when_workers_are_lost(tmp_path, alone):
    run = await Run(tmp_path, 3, 3, workers=lambda index, count: {"lives": 2 + index} if count < 3 else {}).go()
    assert sum(run.spawned) > 3
    assert_same(run, alone)


@pytest.mark.parametrize("in_flight", [1, 4, 64])
async def test_workers_whose_records_all_wait_take_the_shards_of_one_that_never_comes_back(tmp_path, alone, in_flight):
    def workers(index, count):
        return {} if index else {"lives": 1, "hangs": True} if count == 0 else {"starts": False}

    assert_same(await Run(tmp_path, 2, 4, in_flight, workers=workers).go(), alone)


async def test_an_engine_that_breaks_changes_nothing(tmp_path, alone):
    assert_same(await Run(tmp_path, 2, 4, breaks_after=60).go(), alone)


@pytest.mark.parametrize("replicas", [1, 3])
async def test_a_record_that_breaks_every_engine_is_set_aside_and_those_that_wait_for_it_go_on(tmp_path, replicas):
    run = await Run(tmp_path, replicas, 8, poison=derive_seed(0, "11", "Tasks", 0)).go()
    assert len(run.rows) == WANTED
    assert {row["id"].partition("/")[0] for row in run.rows}.isdisjoint({"11"})
    assert [row["id"] for row in run.rejected if row["reason"] == "poison"] == ["11"]


@pytest.mark.parametrize("stops", [1, 4])
async def test_a_stopped_run_goes_on_to_the_same_dataset(tmp_path, alone, stops):
    for stop in range(stops):
        run = Run(tmp_path, 1 + stop % 2, 4)
        running = asyncio.create_task(run.go())
        await asyncio.sleep(0.25)
        run.scheduler.stop()
        await running
    assert_same(await Run(tmp_path, 2, 4).go(), alone)


async def test_a_lost_pool_ends_the_run_at_once(tmp_path, monkeypatch):
    run = Run(tmp_path, 2, 4)
    append, count = Decisions.append, iter(range(10**6))

    def soon_full(self, decisions):
        if next(count) >= 5:
            raise OSError("no space left on device")
        append(self, decisions)

    monkeypatch.setattr(Decisions, "append", soon_full)
    with pytest.raises(SharedLost, match="no space left on device"):
        await run.go()
    assert max(run.spawned) == 1
