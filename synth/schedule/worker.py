"""A worker: one engine and the records that run on it.

Each record is a coroutine. Enough of them run at once to keep the engine's batch full. When a record finishes, the next
one begins, of this shard or the next: a worker asks for its next shard (`wants_work`) during the tail of the last. A
finished record is in its shard's journal, on disk, within seconds; a finished shard is committed by one rename.

A plain asyncio object that knows only its own shards; ray_worker.py makes a Ray actor of it.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synth.configuration.config import Config
from synth.engines import EngineError, Generator, Sampling
from synth.engines.start import start, start_failure
from synth.records import Record, Rejection, Shard, add_spent
from synth.schedule.backlog import Backlog
from synth.schedule.counters import Counters
from synth.schedule.dedup_keys import FinalizedKeys
from synth.schedule.ends import End
from synth.schedule.first_records import FirstRecords
from synth.schedule.launches import Launches
from synth.schedule.needed import Needed
from synth.schedule.pool import PoolClient, SharedPool, Ticket
from synth.schedule.priority_semaphore import PrioritySemaphore, Slot
from synth.schedule.shard_files import OpenShard, ShardFiles
from synth.schedule.usage import FairShareTime, RecordUsage, UsageMeter
from synth.schedule.watchdog import Watchdog
from synth.sources.store import rows_of
from synth.steps.chain import Context, run_record, set_aside, timed_out
from synth.steps.endpoints import MAIN, Endpoint, PoolingEndpoint
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary

log = logging.getLogger(__name__)

JOURNAL_INTERVAL_S = 2.0


class Worker:
    """`start` it, `run` a shard whenever `wants_work` returns, then `stop`. `engines` are the Generators and Poolers of
    the models beside main."""

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        fingerprint: str,
        pool: SharedPool | None = None,
        claims: FinalizedKeys | None = None,
        earlier: Collection[str] = (),
        time: FairShareTime | None = None,
        engines: Mapping[str, Any] | None = None,
    ):
        self._config, self._claims, self._time = config, claims, time
        self._engines = engines or {}
        self._folder = RunFolder(run_dir)
        self._files = ShardFiles(config, self._folder, fingerprint, earlier, claims)
        rules = config.strategy.pool
        self._pool_client = PoolClient(pool, rules) if pool and rules else None
        self._counters = Counters()
        self._running: set[asyncio.Task[Any]] = set()
        self._making: dict[int, OpenShard] = {}  # running records, with the shards they go to
        self._backlog = Backlog()
        self._ends: list[End] = []  # finished records since the last poll
        self._looked_at = 0
        self._meters: dict[int, RecordUsage] = {}  # of running records
        self._late: dict[int, int] = {}  # by shard that was committed short: duplicates that are no longer in `made`
        self._beside: dict[str, float] = {}  # engines of other models, divided by the number of workers
        self._started = False
        self._disk_failure: Exception | None = None

    async def start(self) -> None:
        """Start the engine: seconds to minutes. Raises EngineError; Unusable if another try would fail the same way."""
        config = self._config
        try:
            self._templates = await asyncio.to_thread(config.load_chat_templates)
            self._pooling_inputs = await asyncio.to_thread(config.load_pooling_inputs)
        except Exception as error:  # of any engine library
            raise start_failure(error) from error
        await start(config.engine)
        self._in_flight = self._enough_in_flight()
        self._semaphore = PrioritySemaphore(self._in_flight)
        self._launches = Launches(self._in_flight, config.strategy.declares_num_outputs)
        self._first = FirstRecords()
        self._rows = rows_of(config.source, self._folder.source, config.settings.seed)
        await self._files.start()
        self._engine = UsageMeter(config.engine, self._time)
        own = self._engine.of_a_record()
        endpoints = self._endpoints(own)
        # Each record has a meter of its own for these.
        self._own = {name: one for name, one in endpoints.items() if isinstance(one, Endpoint) and one.engine is own}
        self._context = Context(
            config.strategy,
            endpoints,
            config.settings.seed,
            claims=self._claims,
            branching=self._launches,
            step_timeout_s=config.settings.step_timeout_s,
            on_stuck=self._on_stuck,
        )
        self._syncing = asyncio.create_task(self._sync_journals())
        self._started = True
        self._watchdog = Watchdog(self._folder.blocked, config.settings.step_timeout_s, self._on_stuck)

    def served_by(self, model: str, engines: float) -> None:
        """Set the number of engines of another model, divided by the workers: they need records too."""
        self._beside[model] = engines
        if self._started:
            self._in_flight = self._enough_in_flight()
            self._semaphore.resize(self._in_flight)
            self._launches.resize(self._in_flight)
            self._backlog.wake()

    def _enough_in_flight(self) -> int:
        """Twice as many as fill all engines, so that the next request is there when one ends."""
        in_flight = self._config.cluster.records_in_flight
        if in_flight != "auto":
            return in_flight
        at_once = self._config.at_once
        at_once |= {name: one.concurrency for name, one in self._engines.items() if getattr(one, "concurrency", 0)}
        return math.ceil(2 * (at_once[MAIN] + sum(at_once[name] * count for name, count in self._beside.items())))

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary | None:
        """Run a shard's records, except those in its journal, and commit it; short if the records above are not needed
        (see `poll`). Returns None if stopped before the commit, or if none of its records is needed.

        With dedup keys the commit waits until all lower shards are finalized; its records have released their slots by
        then. With `numbers` only these records are run, and nothing is committed. Those in `poison` are rejected with
        their errors. Raises EngineError or OSError; records finished by then are in the journal, as far as the disk
        took them.
        """
        self._backlog.add(len(shard))
        task = asyncio.create_task(self._run(shard, numbers, poison or {}))
        self._running.add(task)
        await asyncio.wait([task])
        self._running.discard(task)
        failure = None if task.cancelled() else task.exception()
        if self._disk_failure is not None:
            raise self._disk_failure
        if failure is not None:
            await self.sync()  # all journals: the exception may end this process
        return None if task.cancelled() else task.result()

    async def wants_work(self) -> None:
        """Returns when nearly all leased records are launched and another shard is wanted."""
        await self._backlog.at_most(self._in_flight // 8)

    async def poll(self, seen: int, needed: Needed) -> list[End]:
        """The records finished since the last poll, which had seen `seen` in all. From now on only records that are
        `needed` are run: others wait to be launched, and those that will never be needed are cancelled."""
        self._backlog.follow(needed)
        del self._ends[: seen - self._looked_at]
        self._looked_at = seen
        return list(self._ends)

    async def probe(self, seconds: float) -> None:
        """Returns if the engine lives for so long and then answers a test request. Raises EngineError."""
        await asyncio.sleep(seconds)
        prompt = self._templates[MAIN].encode([{"role": "user", "content": "Hello"}], add_generation_prompt=True)
        try:
            await self._config.engine.generate(prompt, Sampling(temperature=0.0, max_tokens=1))
        except EngineError:
            raise
        except Exception as error:  # refused by a live engine
            log.warning("the engine refused the probe request: %s", error)

    async def counters(self) -> Counters:
        counters = self._counters
        counters.load = self._config.engine.stats()
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "engine_seconds", "form_seconds"):
            setattr(counters, name, getattr(self._engine, name))
        counters.work.count_running(meter.written for meter in self._meters.values())
        counters.uncommitted = self._files.tally
        return counters

    async def stop(self) -> Counters:
        """Cancel unfinished records, write finished ones, stop the engine. Takes a few seconds. Returns the final
        counters."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        self._syncing.cancel()
        self._watchdog.stop()
        counters = await self.counters()
        await self._config.engine.stop()
        return counters

    async def _run(
        self, shard: Shard, numbers: Collection[int] | None, poison: Mapping[int, str]
    ) -> ShardSummary | None:
        decided = await self._pool_client.pool.decided() if self._pool_client else None
        files = await self._files.open(shard, decided)
        journal, there = files.journal, files.committed
        all_of_it = range(shard.start, shard.stop)
        wanted = all_of_it if numbers is None else sorted(numbers)
        records = [] if there else [n for n in wanted if n not in journal.finished and n not in poison]
        unlaunched = len(records)
        self._ends += [End(shard.index, number, kept) for number, kept in journal.finished.items()]

        async def launch(running: asyncio.TaskGroup) -> None:
            nonlocal unlaunched
            for number in records:
                if numbers is None and not await self._backlog.is_needed(number):
                    break
                visible = await self._pool_client.turn(number) if self._pool_client else 0
                await self._launches.begin(number)
                try:
                    slot = await self._semaphore.acquire(number)
                except BaseException:
                    self._launches.end(number)
                    raise
                self._first.began(number)
                task = running.create_task(self._make(number, files, slot, visible))
                if numbers is None:
                    self._backlog.note(task, number)
                unlaunched -= 1
                self._backlog.take(1)

        try:
            self._backlog.take(len(shard) - unlaunched)
            async with asyncio.TaskGroup() as running:
                if not there:
                    for number in poison.keys() - journal.finished:
                        why = Rejection("poison", poison[number])
                        journal.append(set_aside(number, await self._row(number), self._context, why))
                        self._ends.append(End(shard.index, number, 0))
                if self._pool_client:
                    await self._pool_client.pool.passed(all_of_it if there else journal.finished)
                running.create_task(launch(running))
            if there:
                await self._files.drop(files, there)
                return there
            if numbers is not None:
                return None
            stop, backlog = files.stop, self._backlog
            if stop < min(shard.stop, backlog.lowest_cut):
                raise RuntimeError(f"record {stop} did not finish")
            if stop < shard.stop and not shard.start < backlog.needed.cut <= stop:
                return None
            summary = await self._files.commit(files, stop)
            # Duplicates, perhaps of rows that an earlier process made. A shard may be committed short, and then again.
            late = sum(kept for number, kept in journal.finished.items() if number < stop) - summary.kept
            self._counters.made = max(0, self._counters.made - late + self._late.pop(shard.index, 0))
            if stop < shard.stop:
                self._late[shard.index] = late
            return summary
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            self._backlog.take(unlaunched)
            await self._files.close(files, self._backlog.lowest_cut)

    async def _make(self, number: int, files: OpenShard, slot: Slot, visible: int) -> None:
        self._counters.in_flight += 1
        self._making[number] = files
        meter = self._meters[number] = self._engine.of_a_record()
        ticket = Ticket(self._pool_client, number, visible, slot) if self._pool_client else None
        checkpoint = files.checkpoint
        try:
            own = {name: replace(one, engine=meter) for name, one in self._own.items()}
            endpoints = {**self._context.endpoints, **own}
            if checkpoint:
                endpoints = checkpoint.begin(number).over(endpoints)
            context = replace(self._context, pool=ticket, endpoints=endpoints)
            finished = await run_record(number, await self._row(number), context)
            if ticket:
                await ticket.leave()
                finished = replace(finished, decided=ticket.decided)
        finally:
            self._counters.in_flight -= 1
            self._making.pop(number, None)
            self._meters.pop(number, None)
            slot.release()
            self._launches.end(number)
        files.journal.append(finished)
        if checkpoint:
            checkpoint.end(number)
        self._ends.append(End(files.shard.index, number, len(finished.kept), meter.written))
        self._first.finished(finished)
        self._counters.made += len(finished.kept)
        self._counters.work.end(round(meter.written), len(finished.kept))
        for steps in finished.spent.values():
            add_spent(self._counters.spent, steps)

    def _endpoints(self, own: Generator) -> dict[str, Endpoint | PoolingEndpoint]:
        """All models of the run by name. This worker's `own` engine serves main."""
        config = self._config
        found: dict[str, Endpoint | PoolingEndpoint] = {}
        engines = {MAIN: own, **self._engines}
        engine_of = {MAIN: MAIN, **{name: one.engine_of for name, one in config.models.items()}}
        for name, model in config.all_models.items():
            engine, called = engines[engine_of[name]], str(model.name)
            if name in self._templates:
                found[name] = Endpoint(engine, self._templates[name], called)
            else:
                found[name] = PoolingEndpoint(engine, self._pooling_inputs[name], called)
        return found

    def _on_stuck(self, id: str, step: str) -> None:
        """A step blocks this worker or ignores cancellation. Only ending the process helps."""

    def _set_aside(self, id: str, step: str) -> None:
        """Reject the record, on disk. Blocks, because the event loop may be blocked."""
        number = int(id.partition("/")[0])
        files = self._making.get(number)
        if files is None:
            return
        why = timed_out(step, self._config.settings.step_timeout_s)
        row = self._rows.row(number) if self._rows else {}
        files.journal.append(set_aside(number, row, self._context, why, by=step))
        self._files.sync_now(files.journal)

    async def _row(self, number: int) -> Record | Rejection:
        return await asyncio.to_thread(self._rows.row, number) if self._rows else {}

    async def _sync_journals(self) -> None:
        try:
            while True:
                await asyncio.sleep(JOURNAL_INTERVAL_S)
                await self.sync()
        except Exception as error:  # stop, rather than run records that can't be stored
            self._disk_failure = error
            for task in self._running:
                task.cancel()

    async def sync(self) -> None:
        """Write the finished records of all shards. Raises OSError."""
        await self._files.sync()
