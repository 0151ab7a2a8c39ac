"""Workers as processes: what is left when one is killed, and that a run goes on without it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest
import pytest_asyncio
from ray.exceptions import OutOfMemoryError

from synth.configuration.settings import Cluster
from synth.engines import Unusable
from synth.schedule import scheduler as module
from synth.schedule.cluster import connected
from synth.schedule.placed_process import PASSED_ON, call, root_cause
from synth.schedule.plan import Plan
from synth.schedule.ray_worker import RayWorker
from synth.schedule.scheduler import Scheduler
from synth.schedule.worker_handle import WorkerLost
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import config

LEADER = """
import subprocess, sys, time
from synth.schedule.placed_process import lead_process_group
lead_process_group()
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""


def test_what_a_worker_started_ends_with_it_even_by_sigkill():
    leader = subprocess.Popen([sys.executable, "-c", LEADER], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(leader.stdout.readline()))
    assert os.getpgid(child.pid) == leader.pid
    leader.kill()
    leader.wait()
    with contextlib.suppress(psutil.NoSuchProcess):
        child.wait(timeout=60)
    assert not child.is_running()


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.make()
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def placement():
    """Where a worker goes on a Ray of this file's own."""
    async with connected(Cluster(replicas=2), config().engine) as room:
        yield room.placement


def actors():
    """The processes of live workers."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if process.name().startswith("ray::WorkerProcess")]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_goes_on_when_a_worker_is_killed(placement, folder, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.1)
    settings = config(tokens_per_second=100.0)
    plan = Plan(120, shard_size=10, replicas=2, min_yield=0.05)
    committed = []

    def spawn(index):
        return RayWorker(settings, folder.path, "fingerprint", index, placement)

    scheduler = Scheduler(plan, 2, spawn, committed.append)
    running = asyncio.create_task(scheduler.run())
    while len(scheduler.workers) < 2 or not committed:
        await asyncio.sleep(0.02)
        assert not running.done()
    victim = actors()[0]
    assert os.getpgid(victim.pid) == victim.pid
    os.kill(victim.pid, signal.SIGKILL)
    await running
    assert plan.done
    assert len({summary.index for summary in committed}) == len(committed)
    assert all(folder.worker_log(index).exists() for index in range(2))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_worker_that_can_not_be_built_says_why_in_one_line_and_is_not_tried_again(placement, folder):
    settings = config()
    settings.resolved["engine"]["tokens_per_second"] = "fast"
    worker = RayWorker(settings, folder.path, "fingerprint", 0, placement)
    with pytest.raises(Unusable, match=r"engine.tokens_per_second: .*'fast'") as caught:
        await worker.start()
    assert "\n" not in str(caught.value)


async def test_a_process_that_ray_ends_because_memory_is_short_is_a_lost_worker_told_in_one_line():
    class Actor:
        """An actor of a machine whose memory is full."""

        class run:
            @staticmethod
            async def remote():
                raise OutOfMemoryError("2 worker(s) were killed due to the node running low on memory.\nMemory on the")

    with pytest.raises(WorkerLost, match=r"^its process ended: its node's memory was nearly full, and Ray ended it$"):
        await call(Actor, "run")


def test_what_ended_an_engines_process_is_found_in_its_log():
    log = [
        "(Worker_TP0 pid=501) ERROR 11-26 05:50:25 [multiproc_executor.py:953] Traceback (most recent call last):",
        "(Worker_TP0 pid=501) ERROR 11-26 05:50:25 [core.py:953] torch.OutOfMemoryError: CUDA out of memory.",
        "(EngineCore pid=490) Exception: WorkerProc initialization failed. See stack trace for root cause.",
        "RuntimeError: Engine core initialization failed. See root cause above.",
    ]
    assert root_cause(log) == "torch.OutOfMemoryError: CUDA out of memory."
    assert root_cause(log[2:]) is None


def test_of_a_runs_environment_engines_get_what_is_vllms_and_no_key():
    names = ["VLLM_BATCH_INVARIANT", "NCCL_DEBUG", "VLLM_API_KEY", "HF_TOKEN", "PATH"]
    assert [name for name in names if PASSED_ON.match(name)] == names[:2]
