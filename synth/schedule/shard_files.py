"""The files of the shards that a worker runs: opened before their records, synced meanwhile, committed at their end.

Promises: records that a journal has are not run again, also after a worker was lost between a commit and the report of
it. Everything is written in one thread, so that no journal is written concurrently and the event loop never waits for a
disk. The calls of a shard are on disk before its commit, which removes the journal whose lock protects them.
"""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from synth.configuration.config import Config
from synth.records import Duplicate, Shard
from synth.schedule.checkpoint import Checkpoint
from synth.schedule.dedup_keys import FinalizedKeys
from synth.storage.calls import CallJournal, drop_calls
from synth.storage.dedup_keys import is_finalized
from synth.storage.journal import Journal, owner_of
from synth.storage.reopen import reopened
from synth.storage.reused import ReusedCalls
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary, commit, committed
from synth.storage.tally import Tally


@dataclass(eq=False, frozen=True)
class OpenShard:
    """A shard's journal; the checkpoint of its records' calls, None if calls are not kept; and its summary if it is
    committed already."""

    shard: Shard
    journal: Journal
    checkpoint: Checkpoint | None
    committed: ShardSummary | None

    @property
    def stop(self) -> int:
        """The first unfinished record, or the shard's end."""
        records, finished = range(self.shard.start, self.shard.stop), self.journal.finished
        return next((number for number in records if number not in finished), self.shard.stop)


class ShardFiles:
    """`start`, then `open` a shard, `commit` or `drop` it, and `close` it in any case. All raise OSError."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        fingerprint: str,
        earlier: Collection[str] = (),
        claims: FinalizedKeys | None = None,
    ):
        self._config, self._folder, self._fingerprint = config, folder, fingerprint
        self._earlier, self._again = earlier, config.settings.retry
        self._claims = claims
        self._open: list[OpenShard] = []
        self._reused: ReusedCalls | None = None
        self._thread = ThreadPoolExecutor(1, "disk")

    async def start(self) -> None:
        if reuse := self._config.settings.reuse:
            self._reused = await self._on_disk(ReusedCalls, RunFolder(reuse))

    @property
    def tally(self) -> Tally:
        """The totals of all open journals."""
        return sum((files.journal.tally for files in self._open), Tally())

    async def open(self, shard: Shard, decided: int | None) -> OpenShard:
        """`decided` is the newest version of the pool that is decided, if the strategy has one."""
        files: OpenShard = await self._on_disk(self._opened, shard, decided)
        self._open.append(files)
        return files

    async def sync(self) -> None:
        """Write the finished records of all open shards."""
        for files in list(self._open):
            await self._on_disk(files.journal.sync)
            if files.checkpoint:
                await self._on_disk(files.checkpoint.sync)

    def sync_now(self, journal: Journal) -> None:
        """Write a journal's records. Blocks, for the time when the event loop is blocked."""
        self._thread.submit(journal.sync).result(timeout=10)

    async def commit(self, files: OpenShard, stop: int) -> ShardSummary:
        """Commit the records below `stop`. With dedup keys this waits until all lower shards are finalized."""
        if files.checkpoint:
            await self._on_disk(files.checkpoint.sync)
        duplicates = await self._finalized(replace(files.shard, stop=stop), files.journal)
        summary: ShardSummary = await self._on_disk(self._commit, files, duplicates, stop)
        return summary

    async def drop(self, files: OpenShard, summary: ShardSummary) -> None:
        """Delete files that a shard committed earlier no longer needs."""
        await self._on_disk(files.journal.remove)
        await self._on_disk(self._drop_calls, summary)

    async def close(self, files: OpenShard, below: float) -> None:
        """Write everything, with the calls of unfinished records below this number."""
        try:
            if files.checkpoint:
                await self._on_disk(files.checkpoint.close, below)
        finally:
            await self._on_disk(files.journal.close)
        self._open.remove(files)  # last, so that a sync of all journals waits for this one

    def _opened(self, shard: Shard, decided: int | None) -> OpenShard:
        owner, path = owner_of(shard, self._fingerprint), self._folder.journal(shard.index)
        journal = Journal.open(path, self._config.strategy.columns, owner, decided, self._earlier, self._again)
        # A worker may have been lost between its commit and the report of it.
        there = self._committed(shard, decided)
        if there and there.fingerprint != self._fingerprint:  # of an earlier configuration: some records run again
            for finished in list(reopened(self._folder, there, self._again)):
                if finished.number not in journal.finished:
                    journal.append(finished)
            there = None
        return OpenShard(shard, journal, self._checkpoint(shard, owner, journal), there)

    def _committed(self, shard: Shard, decided: int | None) -> ShardSummary | None:
        if self._claims and not is_finalized(self._folder, shard, self._fingerprint):
            return None  # or its dedup keys are lost, which others have to be compared with
        there = committed(self._folder, shard, self._fingerprint, self._earlier)
        if there and there.stop < shard.stop:
            return None  # committed short: its journal has the other finished records
        return None if there and decided is not None and there.decided > decided else there

    def _checkpoint(self, shard: Shard, owner: str, journal: Journal) -> Checkpoint | None:
        chosen = self._config.settings.checkpoint_calls
        if chosen is False:
            return None
        path, may_write = self._folder.calls(shard.index), journal.refuse_other_owner
        keeps = chosen == "keep"
        calls = CallJournal.open(path, owner, journal.finished, may_write, keeps)
        reused = self._reused.of(shard) if self._reused else None
        continues = self._config.settings.continue_answers
        return Checkpoint(calls, chosen == "auto", continues, keeps=keeps, reused=reused)

    def _commit(self, files: OpenShard, duplicates: list[Duplicate], stop: int) -> ShardSummary:
        """Commit, and delete the calls at once, so that a stop leaves none behind."""
        columns, strata = self._config.strategy.columns, self._config.strata
        given = (self._folder, files.shard, files.journal, columns, self._fingerprint, duplicates, stop, strata)
        summary = commit(*given)
        self._drop_calls(summary)
        return summary

    def _drop_calls(self, summary: ShardSummary) -> None:
        drop_calls(self._folder, summary, self._config.settings.checkpoint_calls == "keep")

    async def _finalized(self, shard: Shard, journal: Journal) -> list[Duplicate]:
        if self._claims is None:
            return []
        claims = await self._on_disk(journal.claims)
        claims = [claim for claim in claims if claim.place[0] < shard.stop]
        return await self._claims.finalize(shard, claims)

    async def _on_disk(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
