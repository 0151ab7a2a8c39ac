"""The claims of a run in processes of their own: one that settles shards, with all claims in it or parts beside it.

Workers ask the parts themselves. While a call to one is under way, what its records claim meanwhile waits for the next
call: so the busier a part is, the more claims come in each call.

A part's end is the run's, as that of the process which settles.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synth.engines import EngineError
from synth.quality.duplicates import Division, Duplicates, Part, lowest
from synth.records import Claim, Duplicate, Place, Shard
from synth.schedule.claims import SettlingClaims
from synth.schedule.shared import SharedProcess

CALLS = 10_000  # to each process at once: every shard that waits to be settled is one, too
MOST = 1024  # claims in a call


class Line:
    """One worker's calls to one process: of its coroutine `method`, which takes claims and answers each."""

    def __init__(self, process: Any, method: str):
        self._process, self._method = process, method
        self._waiting: list[tuple[Claim, asyncio.Future[Place | None]]] = []
        self._calling: asyncio.Task[None] | None = None

    async def ask(self, claim: Claim) -> Place | None:
        """Raises SharedLost."""
        answer: asyncio.Future[Place | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((claim, answer))
        if self._calling is None or self._calling.done():
            self._calling = asyncio.create_task(self._call())
        return await answer

    async def _call(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            told: list[Place | None] | EngineError
            try:
                told = await getattr(self._process, self._method)([claim for claim, _ in asked])
            except EngineError as error:
                told = error
            for at, (_, answer) in enumerate(asked):
                if answer.done():  # nobody waits for it any more
                    continue
                if isinstance(told, EngineError):
                    answer.set_exception(told)
                else:
                    answer.set_result(told[at])


class ClaimProcesses:
    """SettledClaims. Goes to other processes by pickle."""

    def __init__(
        self, duplicates: Mapping[str, Duplicates], settling: SharedProcess, parts: Sequence[SharedProcess] = ()
    ):
        self._settling, self._parts = settling, parts
        self._division = Division(duplicates, max(1, len(parts)))
        self._lines: list[Line] = []

    @classmethod
    def of(
        cls, duplicates: Mapping[str, Duplicates], count: int, run_dir: Path, fingerprint: str, shards: Sequence[Shard]
    ) -> "ClaimProcesses":
        """So many that have claims."""
        parts = [
            SharedProcess("claims", Part, duplicates, number, count, calls=CALLS, anywhere=True)
            for number in range(count if count > 1 else 0)
        ]
        given = (duplicates, run_dir, fingerprint, shards, parts)
        return cls(duplicates, SharedProcess("claims", SettlingClaims, *given, calls=CALLS), parts)

    async def start(self) -> None:
        await self._settling.start()

    async def claim(self, claim: Claim) -> Place | None:
        if not self._lines:
            alone = [Line(self._settling, "claim_many")]
            self._lines = [Line(part, "claim") for part in self._parts] or alone
        lines = [self._lines[part] for part in self._division.asked(claim)]
        return lowest(await asyncio.gather(*(line.ask(claim) for line in lines)))

    async def settle(self, shard: Shard, claims: Sequence[Claim]) -> list[Duplicate]:
        found: list[Duplicate] = await self._settling.settle(shard, claims)
        return found

    def kill(self) -> None:
        for process in (self._settling, *self._parts):
            process.kill()
