"""The claims of a run (synth/quality/duplicates.py) as its workers share them: who waits for what, and what is on disk.

A claim is answered at once. A shard is finalized when all lower ones are, in whatever order they come. Its claims, and
which of them were duplicates, are on disk before anybody hears of it; who asks again, in this run or in one that goes
on with it, is told what stands there. So these files go up to some shard without a gap, and no shard is committed above
it. Should a disk make a gap, that shard is made and finalized again (see resume.py), and what was finalized above it
stays.

Plain asyncio: in a run it is a process of its own, or several (dedup_processes.py).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from synth.quality.duplicates import DedupKeys, Duplicates, SomePart
from synth.records import DedupKey, Duplicate, Place, Shard
from synth.schedule.shared import SharedLost
from synth.steps.dedup import SharedKeys
from synth.storage.dedup_keys import read_dedup_keys, write_dedup_keys
from synth.storage.run_folder import RunFolder

AT_ONCE = 256  # records that are finalized while others wait


class FinalizedKeys(SharedKeys, Protocol):
    """The claims as workers see them, wherever they are. Each call may raise SharedLost."""

    async def finalize(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]: ...


class KeyFinalizer:
    """The claims themselves, in `parts` or here. `shards` are those that earlier runs may have finalized."""

    def __init__(
        self,
        duplicates: Mapping[str, Duplicates],
        run_dir: Path,
        fingerprint: str,
        shards: Iterable[Shard] = (),
        parts: Sequence[SomePart] = (),
    ):
        self._claims = DedupKeys(duplicates, parts)
        self._folder, self._fingerprint = RunFolder(run_dir), fingerprint
        self._earlier = {shard.start: shard for shard in shards}
        self._stops: dict[int, int] = {}  # where finalized shards end, by where they start
        self._finalizations: dict[Shard, asyncio.Task[list[Duplicate]]] = {}  # under way
        self._turn = asyncio.Condition()
        self._failure: Exception | None = None

    async def start(self) -> None:
        """What earlier runs finalized is read."""
        await self._restore()

    async def claim(self, claim: DedupKey) -> Place | None:
        """The lowest of the lower places that are known to have a key alike. Waits for nobody."""
        return await self._claims.claim(claim)

    async def claim_many(self, claims: Sequence[DedupKey]) -> list[Place | None]:
        """The same, where all claims are here."""
        [part] = self._claims.parts
        return await part.claim(claims)

    async def finalize(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]:
        """The duplicates among a shard's records, which are finished and made all these claims; when all lower records
        are finalized. Raises SharedLost."""
        if shard not in self._finalizations:
            self._finalizations[shard] = task = asyncio.create_task(self._in_turn(shard, claims))
            task.add_done_callback(lambda _: self._finalizations.pop(shard))
        return await asyncio.shield(self._finalizations[shard])  # whoever asked may be gone, others ask again

    async def _in_turn(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]:
        async with self._turn:
            await self._turn.wait_for(lambda: self._claims.finalized >= shard.start or self._failure)
            if self._failure is None:
                try:
                    return await self._finalize(shard, claims)
                except Exception as error:  # of the disk, or of an index, which may be anyone's
                    self._failure = error
                finally:
                    self._turn.notify_all()
            raise SharedLost(f"records from {shard.start} on can't be finalized: {self._failure}")

    async def _finalize(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]:
        """What of it was finalized before, when it ended lower or was told of already, stays."""
        stop = self._stops.get(shard.start, shard.start)
        duplicates: list[Duplicate] = []
        if stop > shard.start:
            known = await asyncio.to_thread(read_dedup_keys, self._folder, replace(shard, stop=stop), self._fingerprint)
            if known is None:
                raise OSError(f"{self._folder.claims(shard.index)} is lost or damaged; run again to go on")
            duplicates = known[1]
        if stop < shard.stop:
            for start in range(stop, shard.stop, AT_ONCE):
                numbers = range(start, min(start + AT_ONCE, shard.stop))
                made = [claim for claim in claims if claim.place[0] in numbers]
                duplicates += await self._claims.finalize(numbers, made)
                await asyncio.sleep(0)  # those who claim don't wait for a whole shard
            await asyncio.to_thread(write_dedup_keys, self._folder, shard, self._fingerprint, claims, duplicates)
            self._stops[shard.start] = shard.stop
            await self._restore()
        return [duplicate for duplicate in duplicates if duplicate.place[0] < shard.stop]

    async def _restore(self) -> None:
        """What earlier runs finalized above what is finalized now, up to the next gap."""
        while shard := self._earlier.pop(self._claims.finalized, None):
            known = await asyncio.to_thread(read_dedup_keys, self._folder, shard, self._fingerprint)
            if known is None:
                break
            await self._claims.restore(range(shard.start, shard.stop), *known)
            self._stops[shard.start] = shard.stop
