"""The dedup keys of a run in processes of their own: one finalizes shards and holds all keys, or partitions beside it.

Workers call the partitions themselves. While a call to one is running, new keys queue for the next call: the busier a
partition is, the larger its batches.

The run ends when any of these processes ends.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synth.engines import EngineError
from synth.quality.duplicates import Division, Duplicates, Part, lowest
from synth.records import DedupKey, Duplicate, Place, Shard
from synth.schedule.dedup_keys import KeyFinalizer
from synth.schedule.shared import SharedProcess

CALLS = 10_000  # to each process at once; each shard that waits to be finalized counts as one
MOST = 1024  # keys per call


class Line:
    """One worker's batched calls to one process: its coroutine `method` takes keys and answers each."""

    def __init__(self, process: Any, method: str):
        self._process, self._method = process, method
        self._waiting: list[tuple[DedupKey, asyncio.Future[Place | None]]] = []
        self._calling: asyncio.Task[None] | None = None

    async def ask(self, claim: DedupKey) -> Place | None:
        """Raises SharedLost."""
        answer: asyncio.Future[Place | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((claim, answer))
        if self._calling is None or self._calling.done():
            self._calling = asyncio.create_task(self._call())
        return await answer

    async def _call(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            results: list[Place | None] | EngineError
            try:
                results = await getattr(self._process, self._method)([claim for claim, _ in asked])
            except EngineError as error:
                results = error
            for at, (_, answer) in enumerate(asked):
                if answer.done():  # cancelled by its caller
                    continue
                if isinstance(results, EngineError):
                    answer.set_exception(results)
                else:
                    answer.set_result(results[at])


class DedupProcesses:
    """FinalizedKeys. Goes to other processes by pickle."""

    def __init__(
        self, duplicates: Mapping[str, Duplicates], finalizing: SharedProcess, parts: Sequence[SharedProcess] = ()
    ):
        self._finalizing, self._parts = finalizing, parts
        self._division = Division(duplicates, max(1, len(parts)))
        self._lines: list[Line] = []

    @classmethod
    def of(
        cls, duplicates: Mapping[str, Duplicates], count: int, run_dir: Path, fingerprint: str, shards: Sequence[Shard]
    ) -> "DedupProcesses":
        """Processes for these partitions."""
        parts = [
            SharedProcess("dedup keys", Part, duplicates, number, count, calls=CALLS, anywhere=True)
            for number in range(count if count > 1 else 0)
        ]
        given = (duplicates, run_dir, fingerprint, shards, parts)
        return cls(duplicates, SharedProcess("dedup keys", KeyFinalizer, *given, calls=CALLS), parts)

    async def start(self) -> None:
        await self._finalizing.start()

    async def claim(self, claim: DedupKey) -> Place | None:
        if not self._lines:
            alone = [Line(self._finalizing, "claim_many")]
            self._lines = [Line(part, "claim") for part in self._parts] or alone
        lines = [self._lines[part] for part in self._division.asked(claim)]
        return lowest(await asyncio.gather(*(line.ask(claim) for line in lines)))

    async def finalize(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]:
        found: list[Duplicate] = await self._finalizing.finalize(shard, claims)
        return found

    def kill(self) -> None:
        for process in (self._finalizing, *self._parts):
            process.kill()
