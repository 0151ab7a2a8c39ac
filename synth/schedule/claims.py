"""The claims of a run (synth/quality/duplicates.py) as its workers share them: who waits for what, and what is on disk.

A claim is answered at once. A shard is settled when all lower ones are, in whatever order they come. Its claims, and
which of them were duplicates, are on disk before anybody hears of it; who asks again, in this run or in one that goes
on with it, is told the same. So these files go up to some shard without a gap, and no shard is committed above it.
Should a disk make a gap, that shard is made and settled again (see resume.py), and what was settled above it stays.

Plain asyncio: in a run it is a process of its own (shared.py).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from synth.quality.duplicates import Claims, Duplicates
from synth.records import Claim, Duplicate, Place, Shard
from synth.schedule.shared import SharedLost
from synth.steps.twins import SharedClaims
from synth.storage.run_folder import RunFolder
from synth.storage.settled import read_settled, write_settled


class SettledClaims(SharedClaims, Protocol):
    """The claims as workers see them, wherever they are. Each call may raise SharedLost."""

    async def settle(self, shard: Shard, claims: Sequence[Claim]) -> list[Duplicate]: ...


class SettlingClaims:
    """The claims themselves. `shards` are those that earlier runs may have settled."""

    def __init__(
        self, duplicates: Mapping[str, Duplicates], run_dir: Path, fingerprint: str, shards: Iterable[Shard] = ()
    ):
        self._claims = Claims(duplicates)
        self._folder, self._fingerprint = RunFolder(run_dir), fingerprint
        self._earlier = {shard.start: shard for shard in shards}
        self._settlements: dict[Shard, asyncio.Task[list[Duplicate]]] = {}
        self._turn = asyncio.Condition()
        self._failure: Exception | None = None

    async def start(self) -> None:
        """What earlier runs settled is read."""
        self._restore()

    async def claim(self, claim: Claim) -> Place | None:
        """The lowest of the lower places that are known to have a key alike. Waits for nobody."""
        return self._claims.claim(claim)

    async def settle(self, shard: Shard, claims: Sequence[Claim]) -> list[Duplicate]:
        """The duplicates among a shard's records, which are finished and made all these claims; when all lower records
        are settled. Raises SharedLost."""
        if shard not in self._settlements:
            self._settlements[shard] = asyncio.create_task(self._in_turn(shard, claims))
        return await asyncio.shield(self._settlements[shard])  # whoever asked may be gone, others ask again

    async def _in_turn(self, shard: Shard, claims: Sequence[Claim]) -> list[Duplicate]:
        async with self._turn:
            await self._turn.wait_for(lambda: self._claims.settled >= shard.start or self._failure)
            if self._failure is None and self._claims.settled < shard.stop:
                try:
                    await self._settle(shard, claims)
                except Exception as error:  # of the disk, or of an index, which may be anyone's
                    self._failure = error
                self._turn.notify_all()
            if self._failure is not None:
                raise SharedLost(f"records from {shard.start} on can't be settled: {self._failure}")
        return self._claims.settle(range(shard.start, shard.stop), [])

    async def _settle(self, shard: Shard, claims: Sequence[Claim]) -> None:
        by_number: dict[int, list[Claim]] = {}
        for claim in claims:
            by_number.setdefault(claim.place[0], []).append(claim)
        duplicates = []
        for number in range(shard.start, shard.stop):
            duplicates += self._claims.settle(range(number, number + 1), by_number.get(number, []))
            await asyncio.sleep(0)  # those who claim don't wait for a whole shard
        await asyncio.to_thread(write_settled, self._folder, shard, self._fingerprint, claims, duplicates)
        self._restore()

    def _restore(self) -> None:
        """What earlier runs settled above what is settled now, up to the next gap."""
        while shard := self._earlier.pop(self._claims.settled, None):
            if (known := read_settled(self._folder, shard, self._fingerprint)) is None:
                break
            self._claims.restore(range(shard.start, shard.stop), *known)
