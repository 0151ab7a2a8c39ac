"""One worker with a simulated engine and real journals: no barrier between shards, nothing finished is lost."""

import asyncio
import dataclasses

import pyarrow as pa
import pytest

from synth.configuration.config import Config
from synth.engines import EngineError
from synth.engines.simulated import Simulated
from synth.records import Shard
from synth.schedule import worker as module
from synth.schedule.needed import Needed
from synth.schedule.worker import Worker
from synth.storage.journal import Journal, finished_numbers
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import FAST, config
from tests.storage.rows import shard_rows


class CountingEngine(Simulated):
    """A simulated engine that counts its calls and breaks for good after `breaks_after` of them."""

    calls = 0
    breaks_after = 10**9
    stopped = False

    async def generate(self, prompt, sampling):
        self.calls += 1
        if self.calls > self.breaks_after:
            raise EngineError("simulated break")
        return await super().generate(prompt, sampling)

    async def stop(self):
        self.stopped = True


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.make()
    return folder


@pytest.fixture(autouse=True)
def short_interval(monkeypatch):
    monkeypatch.setattr(module, "JOURNAL_INTERVAL_S", 0.05)


@pytest.fixture
def start(folder, start_worker):
    """`start(engine)` gives a worker on the folder."""

    async def start(engine=None, **cluster):
        return await start_worker(config(cluster), engine or CountingEngine(**FAST), folder)

    return start


def rows(folder, index):
    return shard_rows(folder.shard(index))


def finished(folder, index):
    """The numbers of the records in a journal."""
    return finished_numbers(folder.journal(index))


async def feed(worker, shards):
    """Lease shards to a worker as the scheduler does. Returns the tasks."""
    tasks = []
    for shard in shards:
        tasks.append(asyncio.create_task(worker.run(shard)))
        await asyncio.sleep(0)
        await worker.wants_work()
    return tasks


async def test_a_shard_is_committed_with_its_rows_in_order_and_its_journal_goes(folder, start):
    summary = await (await start()).run(Shard(3, 30, 60))
    numbers = [int(row["id"]) for row in rows(folder, 3)]
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(range(30, 60))
    assert (summary.index, summary.kept, summary.kept + summary.rejected) == (3, len(numbers), 30)
    assert not folder.journal(3).exists()


async def test_there_is_no_barrier_between_shards(folder, start):
    engine = CountingEngine(max_num_seqs=32, sigma=1.0, **FAST | {"tokens_per_second": 200.0})
    worker = await start(engine, records_in_flight=32)
    shards = [Shard(n, 40 * n, 40 * n + 40) for n in range(6)]
    feeding = asyncio.create_task(feed(worker, shards))
    while (await worker.counters()).in_flight < 32:
        await asyncio.sleep(0.001)
    in_flight, tails = [], 0
    while not feeding.done():
        in_flight.append((await worker.counters()).in_flight)
        tails += sum(folder.journal(shard.index).exists() for shard in shards) > 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*feeding.result())
    assert sum(in_flight) / len(in_flight) > 20
    assert min(in_flight) > 1  # at a barrier there is one record in the end
    assert tails > 0


async def test_records_in_flight_bounds_what_runs_at_once(start):
    worker = await start(records_in_flight=7)
    running = asyncio.create_task(worker.run(Shard(0, 0, 30)))
    most = 0
    while not running.done():
        most = max(most, (await worker.counters()).in_flight)
        await asyncio.sleep(0.001)
    assert most == 7


async def test_engines_of_other_models_want_records_too(start, monkeypatch):
    monkeypatch.setattr(Config, "at_once", property(lambda self: {"main": 2, "judge": 8}))
    worker = await start()
    running, most = asyncio.create_task(worker.run(Shard(0, 0, 60))), []
    for engines in (0, 1.5):  # this worker's part of all
        worker.served_by("judge", engines)
        enough = 4 + round(16 * engines)
        async with asyncio.timeout(60):
            while (seen := (await worker.counters()).in_flight) < enough:
                await asyncio.sleep(0.001)
        most.append(seen)
    assert most == [4, 28]
    await running


async def test_a_worker_is_hungry_only_when_nearly_all_it_has_is_launched(start):
    worker = await start(records_in_flight=8)
    running = asyncio.create_task(worker.run(Shard(0, 0, 40)))
    await asyncio.sleep(0)
    wants_work = asyncio.create_task(worker.wants_work())
    await asyncio.sleep(0.02)
    assert not wants_work.done()
    await wants_work
    assert not running.done()
    await running


async def test_finished_records_are_on_disk_long_before_their_shard_is(folder, start):
    worker = await start(records_in_flight=4)
    running = asyncio.create_task(worker.run(Shard(0, 0, 200)))
    async with asyncio.timeout(5):
        while not finished(folder, 0):
            await asyncio.sleep(0.02)
    assert not running.done()


async def test_a_stop_leaves_what_is_finished_in_the_journal(folder, start):
    worker = await start(records_in_flight=8)
    running = asyncio.create_task(worker.run(Shard(0, 0, 500)))
    while (await worker.counters()).uncommitted.kept < 20:
        await asyncio.sleep(0.01)
    kept = (await worker.counters()).uncommitted.kept
    await worker.stop()
    assert await running is None
    assert len(finished(folder, 0)) >= kept
    assert not folder.shard(0).exists()


async def test_records_of_the_journal_are_not_made_again_and_the_shard_comes_out_the_same(folder, start):
    shard = Shard(0, 0, 60)
    first = await start(records_in_flight=8)
    running = asyncio.create_task(first.run(shard))
    while (await first.counters()).uncommitted.kept < 20:
        await asyncio.sleep(0.01)
    await first.stop()
    await running
    there = len(finished(folder, 0))

    engine = CountingEngine(**FAST)
    await (await start(engine)).run(shard)
    assert engine.calls <= 2 * (60 - there)
    resumed = rows(folder, 0)
    folder.shard(0).unlink()
    await (await start()).run(shard)
    assert rows(folder, 0) == resumed


async def test_what_calls_took_is_whole_after_a_stop_and_no_part_of_a_row(folder, start):
    first = await start(records_in_flight=8)
    running = asyncio.create_task(first.run(Shard(0, 0, 60)))
    while (await first.counters()).uncommitted.kept < 20:
        await asyncio.sleep(0.01)
    await first.stop()
    await running
    second = await start()
    summary = await second.run(Shard(0, 0, 60))
    (took,) = summary.spent["kept"].values()
    assert took.calls == 2 * summary.kept == 2 * len(rows(folder, 0))
    assert took.completion_tokens == summary.completion_tokens - summary.wasted_tokens
    shares = [(await worker.counters()).spent["Magpie"].engine_seconds for worker in (first, second)]
    everything = [step.engine_seconds for steps in summary.spent.values() for step in steps.values()]
    assert sum(everything) == pytest.approx(sum(shares), abs=1e-4)
    busy = [(await worker.counters()).engine_seconds for worker in (first, second)]
    assert 0 < shares[0] < busy[0]  # records that were lost with the stop took time, too
    assert shares[1] > busy[1]  # calls that the first one had finished are given back, and took what they took then


async def test_a_committed_shard_is_not_made_again(folder, start):
    summary = await (await start()).run(Shard(0, 0, 20))
    engine = CountingEngine(**FAST)
    worker = await start(engine)
    [again] = await asyncio.gather(*await feed(worker, [Shard(0, 0, 20)]))
    assert again == summary
    assert engine.calls == 0


async def test_a_row_is_the_same_in_whatever_shard_and_company(folder, start):
    await (await start()).run(Shard(0, 0, 40))
    worker = await start(CountingEngine(max_num_seqs=4, **FAST))
    await asyncio.gather(*await feed(worker, [Shard(1, 0, 15), Shard(2, 15, 40)]))
    assert rows(folder, 1) + rows(folder, 2) == rows(folder, 0)


async def test_a_broken_engine_is_told_of_when_all_journals_are_on_disk(folder, start, monkeypatch):
    monkeypatch.setattr(module, "JOURNAL_INTERVAL_S", 60)
    engine = CountingEngine(**FAST)
    engine.breaks_after = 150
    worker = await start(engine, records_in_flight=32)
    tasks = [asyncio.create_task(worker.run(Shard(n, 40 * n, 40 * n + 40))) for n in range(3)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    done = sum(len(rows(folder, n)) for n in range(3) if folder.shard(n).exists())
    assert done + sum(len(finished(folder, n)) for n in range(3)) >= 40
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {str(result) for result in results if isinstance(result, EngineError)} == {"simulated break"}


@pytest.mark.parametrize("error", [OSError, ValueError, RuntimeError])
async def test_a_disk_that_fails_ends_all_shards_of_the_worker(start, monkeypatch, error):
    worker = await start(records_in_flight=4)
    tasks = [asyncio.create_task(worker.run(Shard(n, 500 * n, 500 * n + 500))) for n in range(2)]
    await asyncio.sleep(0.05)

    def full(journal):
        raise error("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "sync", full)
        for failure in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(failure, error)


async def test_counters_tell_what_is_under_way_and_what_it_has_cost(start):
    engine = CountingEngine(max_num_seqs=4, **FAST)
    worker = await start(engine, records_in_flight=8)
    running = asyncio.create_task(worker.run(Shard(0, 0, 60)))
    while (await worker.counters()).uncommitted.kept < 5:
        await asyncio.sleep(0.01)
    counters = await worker.counters()
    assert 4 <= counters.in_flight <= 8
    assert 1 <= counters.load.running <= 4
    assert counters.completion_tokens > 100
    assert counters.prompt_tokens > 100
    summary = await running
    after = await worker.counters()
    assert (after.uncommitted.kept, after.uncommitted.rejected, after.in_flight) == (0, 0, 0)
    assert after.completion_tokens == summary.completion_tokens


async def test_a_stop_ends_the_engine(start):
    engine = CountingEngine(**FAST)
    await (await start(engine)).stop()
    assert engine.stopped


async def test_some_of_a_shards_records_are_made_and_a_run_of_them_all_commits_it(folder, start):
    worker = await start()
    assert await worker.run(Shard(0, 0, 20), [3, 4, 11]) is None
    assert finished(folder, 0) == {3, 4, 11}
    assert await worker.run(Shard(0, 0, 20), [number for number in range(20) if number not in (3, 4, 11)]) is None
    summary = await worker.run(Shard(0, 0, 20))
    assert (summary.start, summary.stop, summary.kept + summary.rejected) == (0, 20, 20)


async def test_poison_is_a_rejection_with_its_error_and_is_not_run(folder, start):
    engine = CountingEngine(**FAST)
    worker = await start(engine)
    assert await worker.run(Shard(0, 0, 5), (), {2: "died three times"}) is None
    assert engine.calls == 0
    summary = await worker.run(Shard(0, 0, 5))
    assert summary.reasons == {"engine: poison": 1}
    assert [row["id"] for row in rows(folder, 0)] == ["0", "1", "3", "4"]
    with pa.OSFile(str(folder.rejected(0))) as file, pa.ipc.open_stream(file) as reader:
        [rejected] = reader.read_all().to_pylist()
    assert (rejected["id"], rejected["reason"], rejected["detail"]) == ("2", "poison", "died three times")


async def test_a_probe_tells_an_engine_that_answers_from_a_broken_one(start):
    engine = CountingEngine(**FAST)
    worker = await start(engine)
    await worker.probe(0.01)
    assert engine.calls == 1
    engine.breaks_after = 0
    with pytest.raises(EngineError):
        await worker.probe(0)


async def test_a_worker_whose_journal_another_one_has_taken_over_commits_nothing(folder, start):
    first, second = await start(records_in_flight=4), await start(records_in_flight=4)
    shard = Shard(0, 0, 60)
    running = asyncio.create_task(first.run(shard))
    while (await first.counters()).uncommitted.kept < 20:
        await asyncio.sleep(0.01)
    other = asyncio.create_task(second.run(shard))
    [lost, summary] = await asyncio.gather(running, other, return_exceptions=True)
    assert isinstance(lost, OSError)
    assert summary.kept + summary.rejected == 60
    assert len(rows(folder, 0)) == summary.kept


async def until_finished(worker, count):
    """What a poll tells, when it tells of so many records."""
    while len(ends := await worker.poll(0, Needed())) < count:
        await asyncio.sleep(0.001)
    return ends


async def test_a_poll_tells_of_each_finished_record_with_its_kept_rows_and_tokens(folder, start):
    worker = await start()
    summary = await worker.run(Shard(2, 20, 40))
    ends = await worker.poll(0, Needed())
    assert {(end.shard, end.number) for end in ends} == {(2, number) for number in range(20, 40)}
    assert sum(end.kept for end in ends) == summary.kept
    assert all(end.tokens > 0 for end in ends)
    assert await worker.poll(20, Needed()) == []


async def test_a_poll_tells_of_records_that_a_journal_had_already(folder, start):
    first = await start()
    running = asyncio.create_task(first.run(Shard(0, 0, 1000)))
    ends = await until_finished(first, 20)
    await first.stop()
    await running
    second = await start()
    running = asyncio.create_task(second.run(Shard(0, 0, 1000)))
    again = await until_finished(second, 20)
    assert {end[:3] for end in ends} <= {end[:3] for end in again}
    await second.stop()
    await running


async def test_records_from_the_cut_on_are_given_up_and_the_shard_is_committed_short(folder, start):
    engine = CountingEngine(max_num_seqs=8, **FAST)
    worker = await start(engine, records_in_flight=16)
    running = asyncio.create_task(worker.run(Shard(0, 0, 400)))
    await until_finished(worker, 20)
    await worker.poll(0, Needed(30, 30))
    summary = await running
    assert 30 <= summary.stop < 60
    assert {int(row["id"]) for row in rows(folder, 0)} <= set(range(summary.stop))
    assert folder.journal(0).exists()
    calls = engine.calls
    await asyncio.sleep(0.05)
    assert engine.calls == calls


async def test_a_shard_above_the_cut_is_not_committed_and_makes_room(folder, start):
    worker = await start(records_in_flight=16)
    running = asyncio.create_task(worker.run(Shard(1, 100, 500)))
    await until_finished(worker, 5)
    await worker.poll(0, Needed(100, 100))
    assert await running is None
    assert not folder.shard(1).exists() and finished(folder, 1)
    await worker.wants_work()


async def test_a_shard_that_was_committed_short_goes_on_and_comes_out_as_if_it_never_had_been(folder, start, tmp_path):
    shard = Shard(0, 0, 120)
    worker = await start(records_in_flight=16)
    running = asyncio.create_task(worker.run(shard))
    await until_finished(worker, 20)
    await worker.poll(0, Needed(40, 40))
    short = await running
    await worker.poll(0, Needed())
    whole = await worker.run(shard)
    assert short.stop < whole.stop == 120
    assert not folder.journal(0).exists()
    there = rows(folder, 0)
    other = RunFolder(tmp_path / "other")
    other.make()
    alone = Worker(dataclasses.replace(config(), engine=CountingEngine(**FAST)), other.path, "fingerprint")
    await alone.start()
    await alone.run(shard)
    await alone.stop()
    assert there == rows(other, 0)


async def test_records_that_are_not_needed_for_now_are_begun_when_they_are(folder, start):
    worker = await start(records_in_flight=64)
    await worker.poll(0, Needed(10, 1000))
    running = asyncio.create_task(worker.run(Shard(0, 0, 40)))
    await until_finished_below(worker, 10)
    await asyncio.sleep(0.05)
    assert {end.number for end in await worker.poll(0, Needed(10, 1000))} == set(range(10))
    await worker.poll(0, Needed())
    assert (await running).stop == 40


async def until_finished_below(worker, stop):
    while len(await worker.poll(0, Needed(stop, 1000))) < stop:
        await asyncio.sleep(0.001)
