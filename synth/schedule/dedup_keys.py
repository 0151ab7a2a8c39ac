"""The dedup keys of a run (synth/quality/duplicates.py), shared by its workers and finalized shard by shard.

A key is compared at once. A shard is finalized when all lower shards are, in whatever order they arrive. Its keys and
its duplicates are on disk before any worker gets them. If a worker finalizes the shard again, also in a resumed run, it
gets those on disk. So these files have no gap up to some shard, and no shard above it is committed. If a disk failure
makes a gap, that shard is run and finalized again (see resume.py), and shards finalized above it stay.

Plain asyncio: a run has it in a process of its own, or in several (dedup_processes.py).
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

AT_ONCE = 256  # records that are finalized between two yields to the event loop


class FinalizedKeys(SharedKeys, Protocol):
    """The run's dedup keys as workers see them, in any process. Each call may raise SharedLost."""

    async def finalize(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]: ...


class KeyFinalizer:
    """Holds the dedup keys, in `parts` if there are any. `shards` may have been finalized by earlier runs."""

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
        self._stops: dict[int, int] = {}  # end of each finalized shard, by its start
        self._finalizations: dict[Shard, asyncio.Task[list[Duplicate]]] = {}  # running
        self._turn = asyncio.Condition()
        self._failure: Exception | None = None

    async def start(self) -> None:
        """Read the shards that earlier runs finalized."""
        await self._restore()

    async def claim(self, claim: DedupKey) -> Place | None:
        """The lowest known place below with an equal key, or None. Never waits."""
        return await self._claims.claim(claim)

    async def claim_many(self, claims: Sequence[DedupKey]) -> list[Place | None]:
        """`claim` for many keys. Only if no `parts` hold them."""
        [part] = self._claims.parts
        return await part.claim(claims)

    async def finalize(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]:
        """The duplicates among the dedup keys of a shard's finished records. Waits until all lower records are
        finalized. Raises SharedLost."""
        if shard not in self._finalizations:
            self._finalizations[shard] = task = asyncio.create_task(self._in_turn(shard, claims))
            task.add_done_callback(lambda _: self._finalizations.pop(shard))
        return await asyncio.shield(self._finalizations[shard])  # a caller may be gone while others wait for the result

    async def _in_turn(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]:
        async with self._turn:
            await self._turn.wait_for(lambda: self._claims.finalized >= shard.start or self._failure)
            if self._failure is None:
                try:
                    return await self._finalize(shard, claims)
                except Exception as error:  # of the disk, or of a user's index
                    self._failure = error
                finally:
                    self._turn.notify_all()
            raise SharedLost(f"records from {shard.start} on can't be finalized: {self._failure}")

    async def _finalize(self, shard: Shard, claims: Sequence[DedupKey]) -> list[Duplicate]:
        """Finalize the part of a shard that is not finalized yet: the shard may have ended lower in an earlier run."""
        stop = self._stops.get(shard.start, shard.start)
        duplicates: list[Duplicate] = []
        if stop > shard.start:
            known = await asyncio.to_thread(read_dedup_keys, self._folder, replace(shard, stop=stop), self._fingerprint)
            if known is None:
                raise OSError(f"{self._folder.claims(shard.index)} is lost or damaged; run again to resume")
            duplicates = known[1]
        if stop < shard.stop:
            for start in range(stop, shard.stop, AT_ONCE):
                numbers = range(start, min(start + AT_ONCE, shard.stop))
                made = [claim for claim in claims if claim.place[0] in numbers]
                duplicates += await self._claims.finalize(numbers, made)
                await asyncio.sleep(0)  # let `claim` calls in between
            await asyncio.to_thread(write_dedup_keys, self._folder, shard, self._fingerprint, claims, duplicates)
            self._stops[shard.start] = shard.stop
            await self._restore()
        return [duplicate for duplicate in duplicates if duplicate.place[0] < shard.stop]

    async def _restore(self) -> None:
        """Read what earlier runs finalized above the last finalized record, up to the next gap."""
        while shard := self._earlier.pop(self._claims.finalized, None):
            known = await asyncio.to_thread(read_dedup_keys, self._folder, shard, self._fingerprint)
            if known is None:
                break
            await self._claims.restore(range(shard.start, shard.stop), *known)
            self._stops[shard.start] = shard.stop
