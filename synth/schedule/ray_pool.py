"""The pool as workers reach it, in a process of its own (see shared.py)."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from synth.schedule.pool import GrowingPool
from synth.schedule.shared import SharedProcess
from synth.steps.pool import PoolRules
from synth.storage.decisions import Decisions
from synth.storage.run_folder import RunFolder


class PoolProcess(GrowingPool):
    """A GrowingPool as the Ray actor that it is. `settled` are records that committed shards hold."""

    def __init__(self, rules: PoolRules, run_dir: Path, settled: Sequence[range]):
        super().__init__(rules, Decisions(RunFolder(run_dir).pool))
        self._settled = settled

    async def start(self) -> None:
        for numbers in self._settled:
            await self.passed(numbers)


class RayPool:
    """A SharedPool whose pool is a Ray actor. Goes to other processes by pickle."""

    def __init__(self, rules: PoolRules, run_dir: Path, settled: Sequence[range]):
        self._process = SharedProcess("pool", PoolProcess, rules, run_dir, settled, calls=1000 + 4 * rules.lag)

    async def start(self) -> None:
        """Returns when it is there, with all its decisions read."""
        await self._process.call("start")

    async def accepted(self, below: int, known: int) -> tuple[int, list[str]]:
        end, texts = await self._process.call("accepted", below, known)
        return end, texts

    async def offer(self, number: int, texts: Sequence[str]) -> list[bool]:
        decided: list[bool] = await self._process.call("offer", number, list(texts))
        return decided

    async def passed(self, numbers: Iterable[int]) -> None:
        await self._process.call("passed", list(numbers))

    def kill(self) -> None:
        self._process.kill()
