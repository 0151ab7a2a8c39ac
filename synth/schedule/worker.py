"""A worker: one engine and the records that run on it.

Each record is a coroutine. Enough of them run at once to keep the engine's batch full, and a finished record makes room
for the next one, of this shard or the next: a worker asks for its next shard (`wants_work`) during the tail of the
last. A finished record is in its shard's journal, on disk, within seconds; a finished shard is committed by one rename.

A plain asyncio object that knows only its own shards; ray_worker.py makes a Ray actor of it.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synth.configuration.config import Config
from synth.engines import EngineError, EngineStats, Generator, Sampling
from synth.engines.start import start, start_failure
from synth.records import Duplicate, Record, Rejection, Shard, Spent, add_spent
from synth.report.work import Work
from synth.schedule.checkpoint import Checkpoint
from synth.schedule.dedup_keys import FinalizedKeys
from synth.schedule.first_records import FirstRecords
from synth.schedule.launches import Launches
from synth.schedule.needed import Needed
from synth.schedule.plan import End
from synth.schedule.pool import PoolClient, SharedPool, Ticket
from synth.schedule.priority_semaphore import PrioritySemaphore, Slot
from synth.schedule.usage import FairShareTime, RecordUsage, UsageMeter
from synth.schedule.watchdog import Watchdog
from synth.sources.store import rows_of
from synth.steps.chain import Context, run_record, set_aside, timed_out
from synth.steps.endpoints import MAIN, Endpoint, PoolingEndpoint
from synth.storage.calls import CallJournal
from synth.storage.dedup_keys import is_finalized
from synth.storage.journal import Journal, owner_of
from synth.storage.reopen import reopened
from synth.storage.reused import ReusedCalls
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary, commit, committed
from synth.storage.tally import Tally

log = logging.getLogger(__name__)

JOURNAL_INTERVAL_S = 2.0


@dataclass
class Counters:
    """A worker's counters. `uncommitted`: what is finished in uncommitted shards. Since its start: kept rows, tokens,
    busy seconds of its engine, and those of structured outputs among them; `spent` at each step on finished records;
    `work` per record."""

    uncommitted: Tally = field(default_factory=Tally)
    made: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine_seconds: float = 0.0
    form_seconds: float = 0.0
    spent: dict[str, Spent] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    load: EngineStats = field(default_factory=EngineStats)


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
        self._earlier, self._again = earlier, config.settings.retry
        self._folder = RunFolder(run_dir)
        self._fingerprint = fingerprint
        rules = config.strategy.pool
        self._pool_client = PoolClient(pool, rules) if pool and rules else None
        self._counters = Counters()
        self._journals: dict[Journal, Checkpoint | None] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._making: dict[int, Journal] = {}  # running records, with the journals they go to
        self._tasks: dict[asyncio.Task[None], int] = {}  # tasks of records, and of launchers with their next record
        self._needed = Needed()
        self._lowest_cut = math.inf
        self._ends: list[End] = []  # finished records since the last poll
        self._looked_at = 0
        self._meters: dict[int, RecordUsage] = {}  # of running records
        self._beside: dict[str, float] = {}  # engines of other models, divided by the number of workers
        self._started = False
        self._backlog = 0  # records leased and not launched
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
        reuse = config.settings.reuse
        self._reused = await asyncio.to_thread(ReusedCalls, RunFolder(reuse)) if reuse else None
        self._launched = asyncio.Event()
        # One thread, so that no journal is written concurrently.
        self._disk = ThreadPoolExecutor(1, "disk")
        self._engine = UsageMeter(config.engine, self._time)
        own = self._engine.of_a_record()
        endpoints = self._endpoints(own)
        # Each record meters these by itself.
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
            self._launch(0)

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
        self._backlog += len(shard)
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
        while self._backlog > self._in_flight // 8:
            await self._launched.wait()

    async def poll(self, seen: int, needed: Needed) -> list[End]:
        """The records finished since the last poll, which had seen `seen` in all. From now on only records that are
        `needed` are run: others wait to be launched, and those that will never be needed are cancelled."""
        if needed != self._needed:
            self._needed, self._lowest_cut = needed, min(self._lowest_cut, needed.cut)
            self._wake_launching()
            for task, number in self._tasks.items():
                if number >= needed.cut:
                    task.cancel()
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
        counters.uncommitted = sum((journal.tally for journal in self._journals), Tally())
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
        columns = self._config.strategy.columns
        owner = owner_of(shard, self._fingerprint)
        decided = await self._pool_client.pool.decided() if self._pool_client else None
        path, again = self._folder.journal(shard.index), self._again
        journal = await self._on_disk(Journal.open, path, columns, owner, decided, self._earlier, again)
        # A worker may have been lost between its commit and the report of it.
        there: ShardSummary | None = await self._on_disk(self._committed, shard, decided)
        if there and there.fingerprint != self._fingerprint:  # of an earlier configuration: some records run again
            for finished in await self._on_disk(list, reopened(self._folder, there, again)):
                if finished.number not in journal.finished:
                    journal.append(finished)
            there = None
        all_of_it = range(shard.start, shard.stop)
        wanted = all_of_it if numbers is None else sorted(numbers)
        records = [] if there else [n for n in wanted if n not in journal.finished and n not in poison]
        unlaunched = len(records)
        checkpoint = self._journals[journal] = await self._on_disk(self._checkpoint, shard, owner, journal)
        self._ends += [End(shard.index, number, kept) for number, kept in journal.finished.items()]

        async def launch(running: asyncio.TaskGroup) -> None:
            nonlocal unlaunched
            for number in records:
                if numbers is None and not await self._is_needed(number):
                    break
                visible = await self._pool_client.turn(number) if self._pool_client else 0
                await self._launches.begin(number)
                try:
                    slot = await self._semaphore.acquire(number)
                except BaseException:
                    self._launches.end(number)
                    raise
                self._first.began(number)
                task = running.create_task(self._make(number, shard, journal, slot, visible))
                if numbers is None:
                    self._note(task, number)
                unlaunched -= 1
                self._launch(1)

        try:
            self._launch(len(shard) - unlaunched)
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
                await self._on_disk(journal.remove)
                await self._on_disk(self._drop_calls, shard)
                return there
            if numbers is not None:
                return None
            stop = next((number for number in all_of_it if number not in journal.finished), shard.stop)
            if stop < min(shard.stop, self._lowest_cut):
                raise RuntimeError(f"record {stop} did not finish")
            if stop < shard.stop and not shard.start < self._needed.cut <= stop:
                return None
            if checkpoint:  # the commit removes the journal, whose lock protects the calls: write them before
                await self._on_disk(checkpoint.sync)
            duplicates = await self._finalized(replace(shard, stop=stop), journal)
            given = (self._folder, shard, journal, columns, self._fingerprint, duplicates, stop, self._config.strata)
            summary: ShardSummary = await self._on_disk(self._commit, *given)
            # Duplicates, perhaps of rows that an earlier process made.
            late = sum(kept for number, kept in journal.finished.items() if number < stop) - summary.kept
            self._counters.made = max(0, self._counters.made - late)
            return summary
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            self._launch(unlaunched)
            try:
                if checkpoint:
                    await self._on_disk(checkpoint.close, self._lowest_cut)
            finally:
                await self._on_disk(journal.close)
            self._journals.pop(journal)  # last, so that a sync of all journals waits for this one

    def _committed(self, shard: Shard, decided: int | None) -> ShardSummary | None:
        if self._claims and not is_finalized(self._folder, shard, self._fingerprint):
            return None  # or its dedup keys are lost, which others have to be compared with
        there = committed(self._folder, shard, self._fingerprint, self._earlier)
        if there and there.stop < shard.stop:
            return None  # committed short: its journal has the other finished records
        return None if there and decided is not None and there.decided > decided else there

    def _checkpoint(self, shard: Shard, owner: str, journal: Journal) -> Checkpoint | None:
        """The checkpoint of the calls of the shard's records, None if calls are not kept."""
        chosen = self._config.settings.checkpoint_calls
        if chosen is False:
            return None
        path, may_write = self._folder.calls(shard.index), journal.refuse_other_owner
        keeps = chosen == "keep"
        calls = CallJournal.open(path, owner, journal.finished, may_write, keeps)
        reused = self._reused.of(shard) if self._reused else None
        continues = self._config.settings.continue_answers
        return Checkpoint(calls, chosen == "auto", continues, keeps=keeps, reused=reused)

    def _commit(self, folder: RunFolder, shard: Shard, *further: Any) -> ShardSummary:
        """Commit, and delete the calls at once, so that a stop leaves none behind."""
        summary = commit(folder, shard, *further)
        if summary.planned_stop is None:
            self._drop_calls(shard)
        return summary

    def _drop_calls(self, shard: Shard) -> None:
        """Delete the calls: the rows of the shard have their answers."""
        if self._config.settings.checkpoint_calls != "keep":
            self._folder.calls(shard.index).unlink(missing_ok=True)

    async def _finalized(self, shard: Shard, journal: Journal) -> list[Duplicate]:
        if self._claims is None:
            return []
        claims = await self._on_disk(journal.claims)
        claims = [claim for claim in claims if claim.place[0] < shard.stop]
        return await self._claims.finalize(shard, claims)

    def _launch(self, records: int) -> None:
        self._backlog -= records
        self._wake_launching()

    def _wake_launching(self) -> None:
        self._launched.set()
        self._launched = asyncio.Event()

    async def _is_needed(self, number: int) -> bool:
        """Whether the next record to launch is needed; waits until that is known."""
        self._note(asyncio.current_task(), number)
        while self._needed.launch <= number < self._needed.cut:
            await self._launched.wait()
        return number < self._needed.cut

    def _note(self, task: asyncio.Task[None] | None, number: int) -> None:
        assert task is not None
        if task not in self._tasks:
            task.add_done_callback(self._tasks.pop)
        self._tasks[task] = number

    async def _make(self, number: int, shard: Shard, journal: Journal, slot: Slot, visible: int) -> None:
        self._counters.in_flight += 1
        self._making[number] = journal
        meter = self._meters[number] = self._engine.of_a_record()
        ticket = Ticket(self._pool_client, number, visible, slot) if self._pool_client else None
        checkpoint = self._journals[journal]
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
        journal.append(finished)
        if checkpoint:
            checkpoint.end(number)
        self._ends.append(End(shard.index, number, len(finished.kept), meter.written))
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
        journal = self._making.get(number)
        if journal is None:
            return
        why = timed_out(step, self._config.settings.step_timeout_s)
        row = self._rows.row(number) if self._rows else {}
        journal.append(set_aside(number, row, self._context, why, by=step))
        self._disk.submit(journal.sync).result(timeout=10)

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
        for journal, checkpoint in list(self._journals.items()):
            await self._on_disk(journal.sync)
            if checkpoint:
                await self._on_disk(checkpoint.sync)

    async def _on_disk(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *arguments)
