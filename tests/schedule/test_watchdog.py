"""A step that blocks the event loop is named while it does so; one that never ends is a rejection."""

import asyncio
import dataclasses
import threading
import time

from synth.configuration.parsing import parse
from synth.engines.simulated import Simulated
from synth.records import Shard
from synth.schedule import watchdog
from synth.schedule.watchdog import BlockedSteps, Watchdog
from synth.schedule.worker import Worker
from synth.storage.journal import finished_numbers, owner_of, tally_of
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import FAST, config
from tests.schedule.local import LocalRun

MAGPIE = {"_target_": "synth.steps.magpie.Magpie"}


class Engine(Simulated):
    """A simulated engine, with the attributes that LocalRun sets."""


class SlowEngine(Engine):
    async def generate(self, prompt, sampling):
        await asyncio.sleep(0.5)
        return await super().generate(prompt, sampling)


def blocking(record, llm):
    if llm.id == "3":
        time.sleep(1)
    return record


async def sleeping(record, llm):
    if llm.id == "3":
        await asyncio.sleep(3600)
    return record


async def asking(record, llm):
    for _ in range(3):
        await llm.chat("Hello", max_tokens=5)
    return record


def run_of(tmp_path, step, engine=Engine, timeout=None, **keys):
    steps = [{"_target_": f"tests.schedule.test_watchdog.{step}", **keys}]
    return LocalRun(tmp_path, steps, lambda: engine(**FAST), wanted=12, step_timeout_s=timeout)


async def test_a_step_that_blocks_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog, "LOOK_S", 0.02)
    monkeypatch.setattr(watchdog, "BLOCKED_S", 0.2)
    run = run_of(tmp_path, "blocking")
    blocked = BlockedSteps(run.folder.blocked)
    await run.go()
    first, *_ = blocked.news()
    assert first.startswith("the step blocking has blocked its worker for ") and "at test_watchdog.py:" in first
    assert not blocked.news()


async def test_a_loop_that_is_slow_for_another_reason_names_no_step(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog, "LOOK_S", 0.02)
    monkeypatch.setattr(watchdog, "BLOCKED_S", 0.1)
    folder = RunFolder(tmp_path)
    folder.make()
    dog = Watchdog(folder.blocked)
    time.sleep(0.4)  # not in a step
    await asyncio.sleep(0)
    dog.stop()
    assert not BlockedSteps(folder.blocked).news() and not folder.blocked.exists()


async def test_a_step_that_sleeps_for_ever_ends_its_record_and_no_other(tmp_path):
    run = run_of(tmp_path, "sleeping", timeout=0.3)
    await run.go()
    [rejected] = run.rejected
    assert (rejected["id"], rejected["rejected_by"], rejected["reason"]) == ("3", "sleeping", "timeout")
    assert "step_timeout_s=0.3" in rejected["detail"]


async def test_the_engines_time_is_not_the_steps(tmp_path):
    run = run_of(tmp_path, "asking", engine=SlowEngine, timeout=0.4)
    await run.go()
    assert not run.rejected


def stuck(record, llm):
    while llm.id == "3" and not FREED.wait(0.01):
        pass
    return record


FREED = threading.Event()


async def test_a_record_whose_step_blocks_for_ever_is_rejected_on_disk_before_its_process_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog, "LOOK_S", 0.02)
    monkeypatch.setattr(watchdog, "BLOCKED_S", 0.05)
    steps = {"name": "test", "steps": [{"_target_": "tests.schedule.test_watchdog.stuck"}]}
    parsed = parse(config().resolved | {"strategy": steps})
    settings = dataclasses.replace(parsed.settings, step_timeout_s=0.2)
    folder = RunFolder(tmp_path)
    folder.make()
    written = []

    class EndlessWorker(Worker):
        """As WorkerProcess, whose process ends here."""

        def _on_stuck(self, id, step):
            if not written:
                self._set_aside(id, step)
                journal, owner = folder.journal(0), owner_of(Shard(0, 0, 6), "fingerprint")
                rejected = tally_of(journal, [owner]).rejected
                written.append((id, step, finished_numbers(journal) - {0, 1, 2, 4, 5}, rejected))
            FREED.set()

    keys = dataclasses.replace(parsed, settings=settings, engine=Engine(**FAST))
    worker = EndlessWorker(keys, tmp_path, "fingerprint")
    await worker.start()
    running = asyncio.create_task(worker.run(Shard(0, 0, 6)))
    async with asyncio.timeout(60):
        while not written:
            await asyncio.sleep(0.01)
    assert written == [("3", "stuck", {3}, 1)]
    await asyncio.gather(running, return_exceptions=True)
    await worker.stop()
