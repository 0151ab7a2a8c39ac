"""One engine and the records that run on it.

Every record is a coroutine. So many run at once that the engine's batch is full, and a record that ends makes
room for the next one, of this shard or of the shard after it: a worker asks for its next shard (`hungry`) while
the tail of the last one still runs. A finished record is in its shard's journal, on disk, within seconds; a
finished shard is committed by one rename.

A worker knows its shards and nothing of other workers. It is a plain asyncio object: Ray makes an actor of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth.chat import ChatTemplate
from synth.config import Config
from synth.engines import Answer, Generator, Load, Sampling
from synth.records import Finished
from synth.schedule.plan import Shard
from synth.steps.chain import Context, run_record
from synth.storage.journal import Journal
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary, commit

JOURNAL_INTERVAL_S = 2.0


@dataclass
class Counters:
    """What a worker is at: rows of its uncommitted shards, and tokens since it started."""

    kept: int = 0
    rejected: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    load: Load = field(default_factory=Load)


class Worker:
    """`start` it, `run` shards, as many as `hungry` asks for, then `stop`."""

    def __init__(self, config: Config, run_dir: Path, fingerprint: str):
        self._config = config
        self._folder = RunFolder(run_dir)
        self._fingerprint = fingerprint
        self._counters = Counters()
        self._journals: set[Journal] = set()
        self._running: set[asyncio.Task[Any]] = set()
        self._backlog = 0  # records leased and not yet launched

    async def start(self) -> None:
        """Load the engine: seconds to minutes. Raises EngineError."""
        config = self._config
        template = await asyncio.to_thread(config.model.load_chat_template)
        await config.engine.start()
        in_flight = config.cluster.records_in_flight
        self._in_flight = 2 * config.engine.concurrency if in_flight == "auto" else in_flight
        self._slots = asyncio.Semaphore(self._in_flight)
        self._launching = asyncio.Lock()
        self._launched = asyncio.Condition()
        # One thread, so that no journal is ever written to by two.
        self._disk = ThreadPoolExecutor(1, "disk")
        metered = _Metered(config.engine, self._counters)
        self._context = Context(
            config.strategy, metered, template, str(config.model.name), config.settings.seed
        )
        self._syncing = asyncio.create_task(self._sync_journals())

    async def run(self, shard: Shard) -> ShardSummary | None:
        """Make a shard's records, but for those its journal has, and commit it. None if stopped before that.

        Raises EngineError; what had finished by then is in the journal.
        """
        self._backlog += len(shard)
        task = asyncio.create_task(self._run(shard))
        self._running.add(task)
        await asyncio.wait([task])
        self._running.discard(task)
        return None if task.cancelled() else task.result()

    async def hungry(self) -> None:
        """Returns when the leased records are nearly all launched, so that another shard is wanted."""
        async with self._launched:
            await self._launched.wait_for(lambda: self._backlog <= self._in_flight // 8)

    async def counters(self) -> Counters:
        counters = self._counters
        counters.load = self._config.engine.load()
        counters.kept = sum(journal.kept for journal in self._journals)
        counters.rejected = sum(journal.rejected for journal in self._journals)
        return counters

    async def stop(self) -> None:
        """Drop what is unfinished, write down what is finished, end the engine. Takes a few seconds."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        self._syncing.cancel()
        await self._config.engine.stop()

    async def _run(self, shard: Shard) -> ShardSummary:
        unlaunched = len(shard)
        columns = self._config.strategy.columns
        journal = await self._on_disk(Journal.open, self._folder.journal_path(shard.index), columns)
        self._journals.add(journal)
        try:
            async with asyncio.TaskGroup() as records, self._launching:  # older shards launch first
                for number in range(shard.start, shard.stop):
                    if number not in journal.finished:
                        await self._slots.acquire()
                        records.create_task(self._make(number, journal))
                    unlaunched -= 1
                    await self._launch(1)
            return await self._on_disk(self._commit, shard, journal)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            self._journals.discard(journal)
            await self._launch(unlaunched)
            await self._on_disk(journal.close)

    async def _launch(self, records: int) -> None:
        self._backlog -= records
        async with self._launched:
            self._launched.notify_all()

    async def _make(self, number: int, journal: Journal) -> None:
        self._counters.in_flight += 1
        try:
            finished = await run_record(number, {}, self._context)
        finally:
            self._counters.in_flight -= 1
            self._slots.release()
        journal.append(finished)

    def _commit(self, shard: Shard, journal: Journal) -> ShardSummary:
        journal.sync()
        summary = commit(
            self._folder,
            shard,
            journal.finished.values(),
            self._config.strategy.columns,
            {"fingerprint": self._fingerprint},
        )
        journal.remove()
        return summary

    async def _sync_journals(self) -> None:
        while True:
            await asyncio.sleep(JOURNAL_INTERVAL_S)
            for journal in list(self._journals):
                await self._on_disk(journal.sync)

    async def _on_disk(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *arguments)


class _Metered:
    """The engine with its tokens counted call by call: a record's own count comes only when it is finished."""

    def __init__(self, engine: Generator, counters: Counters):
        self._engine, self._counters = engine, counters
        self.max_model_len = engine.max_model_len

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        answer = await self._engine.generate(prompt, sampling)
        self._counters.prompt_tokens += answer.prompt_tokens
        self._counters.cached_tokens += answer.cached_tokens
        self._counters.completion_tokens += len(answer.token_ids)
        return answer
