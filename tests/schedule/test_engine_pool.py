"""Engines of a model beside main as processes: what becomes of a run when one is killed, or none can be started."""

import asyncio
import os
import signal
import threading

import psutil
import pytest
import pytest_asyncio

from synth.components.source_code import source_code
from synth.configuration.parsing import parse
from synth.configuration.settings import Cluster
from synth.engines import EngineError
from synth.schedule import engine_pool, scheduler
from synth.schedule.cluster import connected
from synth.schedule.engine_pool import Pools
from synth.schedule.plan import Plan
from synth.schedule.ray_worker import RayWorker
from synth.schedule.scheduler import Scheduler
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import FAST, config
from tests.storage.rows import shard_rows

SIMULATED = {"_target_": "synth.engines.simulated.Simulated", **FAST}
STEPS = [
    {"_target_": "synth.steps.magpie.Magpie"},
    {"_target_": "synth.steps.judge.Judge", "on_failure": "keep", "model": "judge"},
]


REWARDED = [
    {"_target_": "synth.steps.magpie.Magpie"},
    {"_target_": "synth.quality.reward.Reward", "model": "judge"},
]


def rewarded(**engine):
    """The judge's place is taken by a reward model."""
    node = {"_target_": "tests.pooling_engines.FakePooling", **engine}
    judge = {"model": {"path": "demo", "name": "judge"}, "engine": node, "replicas": 2}
    return parse(config().resolved | {"strategy": {"name": "test", "steps": REWARDED}, "models": {"judge": judge}})


def judged(**engine):
    judge = {"model": {"path": "demo", "name": "judge"}, "engine": {**SIMULATED, **engine}, "replicas": 2}
    resolved = config().resolved | {"strategy": {"name": "test", "steps": STEPS}, "models": {"judge": judge}}
    return parse(resolved)


class BuiltStep:
    """Notes the processes in which it is built."""

    def __init__(self, notes: str):
        with open(notes, "a") as file:
            file.write(f"{os.getpid()}\n")
        self.lock = threading.Lock()  # which no pickle takes

    def __call__(self, record, llm):
        with self.lock:
            return record


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room():
    async with connected(Cluster(replicas=1), config().engine, judged(median_tokens=30).pools) as room:
        yield room


def engines():
    below = psutil.Process().children(recursive=True)
    return [process for process in below if process.name().startswith("ray::EngineProcess")]


class Run:
    def __init__(self, settings, room, path, monkeypatch):
        monkeypatch.setattr(scheduler, "FIRST_PAUSE_S", 0.1)
        monkeypatch.setattr(engine_pool, "PAUSE_S", 0.1)
        self.folder = RunFolder(path)
        self.folder.make()
        self.pools = Pools(settings, path, room)
        self.plan = Plan(60, shard_size=10, replicas=1, min_yield=0.05)
        self.committed = []

        def spawn(index):
            code = source_code(settings.identity())
            return RayWorker(settings, path, "fingerprint", index, room.placement, code=code, pools=self.pools)

        self.scheduler = Scheduler(self.plan, 1, spawn, self.committed.append)

    async def go(self):
        serving = asyncio.create_task(self.pools.run())
        serving.add_done_callback(lambda task: task.cancelled() or self.scheduler.fail(task.exception()))
        try:
            await self.scheduler.run()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    @property
    def rows(self):
        return [row for index in range(6) for row in shard_rows(self.folder.shard(index))]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_judge_that_is_killed_loses_no_record_and_changes_none(room, tmp_path, monkeypatch, caplog):
    calm = Run(judged(median_tokens=30), room, tmp_path / "calm", monkeypatch)
    await calm.go()
    hit = Run(judged(median_tokens=30, tokens_per_second=100.0), room, tmp_path / "hit", monkeypatch)
    going = asyncio.create_task(hit.go())
    while not (hit.pools.pools["judge"].running and (await hit.pools.pools["judge"].at_work()).running):
        await asyncio.sleep(0.02)
        assert not going.done()
    os.kill(engines()[0].pid, signal.SIGKILL)
    await going
    kept = [{name: one for name, one in row.items() if name != "usage"} for row in calm.rows]
    assert [{name: one for name, one in row.items() if name != "usage"} for row in hit.rows] == kept
    assert len(kept) == 60 and {row["model"] for row in kept} == {"synth-demo"}
    assert {one["model"] for row in kept for one in row["lineage"]} == {"synth-demo"}
    assert "of judge: its process ended" in caplog.text and "starting another one" in caplog.text
    _, left = psutil.wait_procs(engines(), timeout=60)
    assert not left


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reward_model_that_is_killed_changes_no_score_and_tells_what_it_read(room, tmp_path, monkeypatch):
    calm = Run(rewarded(), room, tmp_path / "calm", monkeypatch)
    await calm.go()
    hit = Run(rewarded(seconds=1.0), room, tmp_path / "hit", monkeypatch)
    going, pool = asyncio.create_task(hit.go()), hit.pools.pools["judge"]
    while not (pool.running and (await pool.at_work()).running):
        await asyncio.sleep(0.02)
        assert not going.done()
    os.kill(engines()[0].pid, signal.SIGKILL)
    while not going.done():
        work = await pool.at_work()
        await asyncio.sleep(0.02)
    await going
    assert hit.rows == calm.rows and len({row["reward"] for row in hit.rows}) > 50
    assert work.prompt_tokens > 0 and work.completion_tokens == 0 and work.engine_seconds > 0


@pytest.mark.asyncio(loop_scope="module")
async def test_steps_are_built_where_they_run_and_not_by_the_engines_of_other_models(room, tmp_path, monkeypatch):
    noted = {"_target_": "tests.schedule.test_engine_pool.BuiltStep", "notes": str(tmp_path / "notes")}
    settings = judged(median_tokens=30)
    run = Run(
        parse(settings.resolved | {"strategy": {"name": "test", "steps": [*STEPS, noted]}}), room, tmp_path, monkeypatch
    )
    await run.go()
    assert len(run.rows) == 60
    here, *workers = map(int, (tmp_path / "notes").read_text().split())
    assert here == os.getpid() and len(workers) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_of_which_no_engine_starts_ends_the_run_and_is_named(room, tmp_path, monkeypatch):
    broken = judged(median_tokens=30)
    broken.resolved["models"]["judge"]["engine"] = {"_target_": "tests.schedule.test_engine_pool.Broken"}
    with pytest.raises(EngineError, match=r"^models.judge: no weights here$"):
        await Run(broken, room, tmp_path, monkeypatch).go()


class Broken:
    concurrency = 1

    def placement(self, on_gpu, replicas_beside): ...

    async def start(self):
        from synth.engines import Unusable

        raise Unusable("no weights here")

    max_model_len = 1

    async def generate(self, prompt, sampling): ...

    def stats(self): ...

    async def stop(self): ...
