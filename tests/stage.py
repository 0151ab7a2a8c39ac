"""A state of a run that lasts: engines that say when they have started, and wait until a test lets them go on.

What a test waits for stays true until the test itself ends it, however slow the machine is. A run can't be over before
it was looked at, and no process has to be recognised by a name.
"""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Answer
from synth.engines.simulated import Simulated
from synth.engines.vllm import VLLM
from synth.storage.journal import finished_numbers
from synth.storage.run_folder import RunFolder


class Stage:
    """A folder that a run's engines are given."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True)
        self._folder = folder
        self.overrides = [f"+engine.stage={folder}"]

    def started(self) -> list[dict[str, Any]]:
        """A note for each engine that has come to run, in order: its `pid`, its `node`, and what else it says."""
        notes = self._folder / "started"
        whole_lines = notes.read_text().rpartition("\n")[0] if notes.exists() else ""
        return [json.loads(line) for line in whole_lines.splitlines()]

    def go_on(self) -> None:
        """From now on no engine waits."""
        (self._folder / "go_on").touch()


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Staged:
    """What makes an engine one that waits, for the file `go_on`, before it gives more than `answers` answers."""

    stage: str | None = None
    answers: int = 20

    ONLY_HERE = frozenset({"stage", "answers"})

    async def start(self) -> None:
        await super().start()
        self._asked = 0
        if self.stage:
            with open(f"{self.stage}/started", "a") as notes:
                notes.write(json.dumps({"pid": os.getpid()} | await self.note()) + "\n")

    async def note(self) -> dict[str, Any]:
        """What is said of a start, beside the process."""
        return {"node": os.environ.get("SLURMD_NODENAME"), "gpus": os.environ.get("SLURM_GPUS_ON_NODE")}

    def waits(self, sampling) -> bool:
        self._asked += 1
        return self._asked > self.answers

    async def generate(self, prompt, sampling) -> Answer:
        if self.stage and self.waits(sampling):
            while not os.path.exists(f"{self.stage}/go_on"):
                await asyncio.sleep(0.05)
        return await super().generate(prompt, sampling)


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class StagedSimulated(Staged, Simulated):
    RUNTIME_ONLY = Simulated.RUNTIME_ONLY | Staged.ONLY_HERE


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class StagedVLLM(Staged, VLLM):
    RUNTIME_ONLY = VLLM.RUNTIME_ONLY | Staged.ONLY_HERE

    def placement(self, on_gpu, replicas_beside):
        return replace(super().placement(on_gpu, replicas_beside), cpus=4)


def records_on_disk(folder: Path) -> set[int]:
    """The numbers of the records that are safe. A journal is only removed when its shard is committed, so those that
    come to be so in between are seen twice and not missed."""
    run = RunFolder(folder)
    numbers = {number for path in run.shards.glob("*.journal.arrow") for number in finished_numbers(path)}
    for path in run.shards.glob("[0-9]*.json"):
        shard = json.loads(path.read_text())
        numbers.update(range(shard["start"], shard["stop"]))
    return numbers


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and no mere zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
