"""The scheduler: whose shard is whose when workers start late, fail, hang or are told to stop.

Its workers are simulated: they make nothing, take the time that they are told to, and fail when they are told to.
"""

import asyncio

import pytest

from synth.engines import EngineError, Unavailable, Unusable
from synth.schedule import scheduler as module
from synth.schedule.counters import Counters
from synth.schedule.plan import Plan
from synth.schedule.scheduler import MAX_FAILURES, Scheduler
from synth.schedule.worker_handle import WorkerLost
from synth.storage.shard import ShardSummary
from tests.error_lines import check_line
from tests.schedule.virtual_time import VirtualTimePolicy


@pytest.fixture(scope="module")
def event_loop_policy():
    """Time is what the workers are told to take, however busy the machine is."""
    return VirtualTimePolicy()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "STOP_GRACE_S", 0.2)


class SimulatedWorker:
    """A worker that keeps `num_outputs` rows of every record after `shard_s`, `capacity` shards side by side.

    It fails at its `fails_at`-th shard, or at its start with `fails_at` 0.
    """

    def __init__(
        self,
        start_s=0.0,
        shard_s=0.01,
        capacity=2,
        num_outputs=1,
        fails_at=None,
        error=WorkerLost,
        hangs=False,
        start_error=None,
    ):
        self.start_error = start_error
        self.start_s, self.shard_s, self.capacity, self.num_outputs = start_s, shard_s, capacity, num_outputs
        self.fails_at, self.error, self.hangs = fails_at, error, hangs
        self.started = self.stopped = self.killed = False
        self.made, self.running, self.most_at_once = [], {}, 0
        self._leases, self._told = 0, asyncio.Event()

    async def start(self):
        await asyncio.sleep(self.start_s)
        if self.fails_at == 0:
            raise self.error("no engine")
        if self.start_error:
            raise self.start_error
        self.started = True

    async def run(self, shard, numbers=None, poison=None):
        self._leases += 1
        if self._leases == self.fails_at:
            raise self.error("simulated loss")
        self.running[shard.index] = shard
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            async with asyncio.timeout(self.shard_s):
                await self._told.wait()
            return None
        except TimeoutError:
            self.made.append(shard)
            kept = len(shard) * self.num_outputs
            return ShardSummary(index=shard.index, start=shard.start, stop=shard.stop, kept=kept, rejected=0)
        finally:
            del self.running[shard.index]

    async def wants_work(self):
        while len(self.running) >= self.capacity:
            await asyncio.sleep(0.001)

    async def poll(self, seen, needed):
        return []

    async def probe(self, seconds):
        await asyncio.sleep(seconds)

    async def counters(self):
        return Counters()

    async def stop(self):
        if self.hangs:
            await asyncio.sleep(60)
        self._told.set()
        self.stopped = True

    async def kill(self):
        self.killed = True


class Bench:
    """A scheduler over simulated workers: `workers` holds each replica's, one after another."""

    def __init__(self, *given, num_records=100, shard_size=5, on_commit=None, replicas=None, **plan):
        """Of each replica a list of SimulatedWorker's arguments; the last ones serve for all further workers. The
        first `replicas` are there from the beginning."""
        self.plan = Plan(num_records, shard_size=shard_size, replicas=1, min_yield=0.05, **plan)
        self.workers = [[] for _ in given]
        self.spawned_at = []
        self.committed = []

        def spawn(index):
            arguments = given[index][min(len(self.workers[index]), len(given[index]) - 1)]
            self.spawned_at.append(asyncio.get_running_loop().time())
            self.workers[index].append(SimulatedWorker(**arguments))
            return self.workers[index][-1]

        self.scheduler = Scheduler(self.plan, replicas or len(given), spawn, on_commit or self.committed.append)

    async def run(self):
        async with asyncio.timeout(5):
            await self.scheduler.run()

    def made(self, index):
        return [shard for worker in self.workers[index] for shard in worker.made]


async def test_a_run_ends_when_enough_is_kept_and_every_shard_is_told_of_once():
    bench = Bench([{}], [{}])
    await bench.run()
    assert bench.plan.done
    indices = [summary.index for summary in bench.committed]
    assert sorted(indices) == list(range(20))
    assert all(worker.stopped and worker.killed for [worker] in bench.workers)


async def test_a_worker_begins_its_next_shard_while_the_last_one_still_runs():
    bench = Bench([{"capacity": 3}])
    await bench.run()
    assert bench.workers[0][0].most_at_once == 3


async def test_workers_begin_as_soon_as_their_own_engine_runs():
    bench = Bench([{}], [{"start_s": 10.0}])
    await bench.run()
    assert len(bench.made(0)) == 20


async def test_the_shards_of_a_lost_worker_go_to_the_others():
    bench = Bench([{"fails_at": 2, "shard_s": 0.02}, {"start_s": 10.0}], [{}])
    await bench.run()
    assert bench.plan.done
    assert bench.workers[0][0].killed
    assert sorted(shard.index for shard in bench.made(1)) == list(range(20))


@pytest.mark.parametrize("error", [WorkerLost, EngineError])
async def test_a_lost_worker_is_replaced(error):
    bench = Bench([{"fails_at": 3, "error": error}, {}])
    await bench.run()
    assert len(bench.workers[0]) == 2
    assert bench.plan.done


async def test_pauses_before_new_workers_double():
    bench = Bench([{"fails_at": 0}])
    with pytest.raises(WorkerLost, match="no engine"):
        await bench.run()
    pauses = [after - before for before, after in zip(bench.spawned_at, bench.spawned_at[1:], strict=False)]
    assert pauses == pytest.approx([0.01 * 2**n for n in range(MAX_FAILURES - 1)])


async def test_an_engine_that_refuses_what_is_configured_is_tried_once():
    bench = Bench([{"fails_at": 0, "error": Unusable}])
    with pytest.raises(Unusable, match="no engine"):
        await bench.run()
    assert len(bench.spawned_at) == 1


async def test_a_first_start_that_fails_twice_in_the_same_way_is_not_tried_again():
    bench = Bench(
        [
            {"start_error": EngineError("no engine in process 17")},
            {"start_error": EngineError("no engine in process 4")},
        ]
    )
    with pytest.raises(EngineError, match="no engine in process 4"):
        await bench.run()
    assert len(bench.spawned_at) == 2


@pytest.mark.parametrize("error", [WorkerLost, Unavailable])
async def test_a_start_that_is_killed_or_waits_for_somebody_is_tried_again_and_again(error):
    bench = Bench([*[{"start_error": error("the same")}] * 4, {}])
    await bench.run()
    assert bench.plan.done
    assert len(bench.spawned_at) == 5


@pytest.mark.parametrize("error", [EngineError, Unusable])
async def test_the_start_of_an_engine_that_ran_before_is_tried_again(error):
    bench = Bench([{"fails_at": 1}, *[{"start_error": error("the same")}] * 3, {}])
    await bench.run()
    assert bench.plan.done


async def test_what_all_replicas_can_not_get_over_is_told_once(caplog):
    bench = Bench(*[[{"start_error": Unusable("no such file")}]] * 4)
    with pytest.raises(Unusable, match="no such file"):
        await bench.run()
    assert len(bench.spawned_at) == 4
    [line] = caplog.messages
    check_line(line, "replica 0", "given up", "no such file")


async def test_a_replica_that_commits_shards_between_its_losses_is_not_given_up():
    bench = Bench([{"fails_at": 3, "capacity": 1}])
    await bench.run()
    assert bench.plan.done
    assert len(bench.workers[0]) > MAX_FAILURES


async def test_a_replica_that_can_not_be_kept_alive_does_not_end_the_run_of_the_others():
    bench = Bench([{"fails_at": 0}], [{"shard_s": 0.05}], num_records=200)
    await bench.run()
    assert bench.plan.done
    assert len(bench.workers[0]) == MAX_FAILURES


async def test_the_run_ends_with_the_last_replica_and_what_was_committed_stays():
    bench = Bench([{"fails_at": 4, "capacity": 1}, {"fails_at": 0}], [{"fails_at": 0}])
    with pytest.raises(WorkerLost):
        await bench.run()
    assert bench.plan.kept == 15
    assert len(bench.committed) == 3


async def test_what_telling_of_a_commit_raises_ends_the_run():
    def full_disk(summary):
        raise OSError("no space left on device")

    bench = Bench([{}], [{}], on_commit=full_disk)
    with pytest.raises(OSError, match="no space"):
        await bench.run()
    assert all(worker.killed for [worker] in bench.workers)


async def test_a_stop_leases_nothing_more_and_lets_every_worker_write_down_what_it_has():
    bench = Bench([{"shard_s": 0.02}], [{"shard_s": 10.0}], num_records=1000)
    running = asyncio.create_task(bench.run())
    await asyncio.sleep(0.05)
    bench.scheduler.stop()
    await running
    assert not bench.plan.done
    assert all(worker.stopped and worker.killed for [worker] in bench.workers)
    assert len(bench.committed) == len(bench.made(0))


async def test_a_stop_during_start_up_ends_at_once():
    bench = Bench([{"start_s": 10.0}])
    running = asyncio.create_task(bench.run())
    await asyncio.sleep(0.05)
    bench.scheduler.stop()
    async with asyncio.timeout(0.1):
        await running
    [[worker]] = bench.workers
    assert worker.killed and not worker.stopped


async def test_a_stop_before_the_start_starts_nothing():
    bench = Bench([{}])
    bench.scheduler.stop()
    await bench.run()
    assert bench.workers == [[]]


async def test_a_stop_during_a_pause_starts_no_new_worker():
    bench = Bench([{"fails_at": 0}])
    running = asyncio.create_task(bench.run())
    await asyncio.sleep(0.05)
    bench.scheduler.stop()
    await running
    spawned = len(bench.workers[0])
    await asyncio.sleep(0.1)
    assert len(bench.workers[0]) == spawned < MAX_FAILURES


async def test_a_worker_that_hangs_at_a_stop_is_killed_after_its_grace():
    bench = Bench([{"shard_s": 10.0, "hangs": True}])
    running = asyncio.create_task(bench.run())
    await asyncio.sleep(0.05)
    bench.scheduler.stop()
    async with asyncio.timeout(1):
        await running
    assert bench.workers[0][0].killed


async def test_workers_still_busy_beyond_what_is_needed_do_not_delay_the_end():
    bench = Bench([{"shard_s": 0.05, "num_outputs": 4}], [{"start_s": 0.01, "shard_s": 10.0}], num_records=40)
    started = asyncio.get_running_loop().time()
    await bench.run()
    assert bench.workers[1][0].stopped
    assert asyncio.get_running_loop().time() - started < 1


async def test_one_eager_worker_leaves_others_their_share():
    bench = Bench([{"capacity": 100, "shard_s": 0.1}], [{"capacity": 100, "shard_s": 0.1, "start_s": 0.05}])
    await bench.run()
    assert abs(len(bench.made(0)) - len(bench.made(1))) <= 2


async def test_a_slow_worker_does_not_hold_the_last_shards():
    bench = Bench([{"capacity": 100, "shard_s": 0.5}], [{"capacity": 1, "shard_s": 0.005}])
    started = asyncio.get_running_loop().time()
    await bench.run()
    assert asyncio.get_running_loop().time() - started < 0.7
    assert bench.workers[0][0].most_at_once <= 10


async def test_a_lone_worker_gets_every_last_shard():
    bench = Bench([{"capacity": 1}], num_records=23)
    await bench.run()
    assert bench.plan.done


async def test_a_shard_in_a_gap_is_made_though_more_than_enough_is_kept_above_it():
    bench = Bench([{}], num_records=10, shard_size=5)
    bench.plan.lease()
    bench.plan.lease()
    bench.plan.release(bench.plan.shards[0])
    bench.plan.commit(1, 50)
    await bench.run()
    assert [summary.index for summary in bench.committed] == [0]


async def test_a_hopeless_run_ends():
    bench = Bench([{}], num_records=1000, shard_size=100)
    for shard in [bench.plan.lease() for _ in range(3)]:
        bench.plan.commit(shard.index, 1)
    await bench.run()
    assert bench.plan.hopeless
    assert not bench.committed


async def test_an_exhausted_source_ends_the_run():
    bench = Bench([{}], [{}], source_size=12)
    await bench.run()
    assert bench.plan.exhausted
    assert bench.plan.kept == 12


async def test_a_replica_that_joins_later_takes_its_share():
    bench = Bench([{"shard_s": 0.05}], [{"shard_s": 0.05}], replicas=1)
    running = asyncio.create_task(bench.run())
    await asyncio.sleep(0.06)
    assert len(bench.workers[1]) == 0
    bench.scheduler.resize(2)
    await running
    assert abs(len(bench.made(0)) - len(bench.made(1))) <= 4


async def test_a_replica_whose_machine_is_gone_leaves_and_that_is_no_failure():
    bench = Bench([{"shard_s": 0.02}], [{"fails_at": 3, "shard_s": 0.02}, {"start_s": 60.0}], num_records=200)
    running = asyncio.create_task(bench.run())
    while len(bench.workers[1]) < 2:
        await asyncio.sleep(0.01)
    bench.scheduler.resize(1)
    await running
    assert bench.plan.done
    assert bench.workers[1][1].killed and not bench.workers[1][1].stopped
    assert list(bench.scheduler.workers) == []


async def test_a_running_replica_that_is_one_too_many_writes_down_what_it_has_and_its_shards_go_to_the_others():
    bench = Bench([{"shard_s": 0.02}], [{"shard_s": 10.0}], num_records=60)
    running = asyncio.create_task(bench.run())
    while not (bench.workers[1] and bench.workers[1][0].running):
        await asyncio.sleep(0.01)
    bench.scheduler.resize(1)
    await running
    assert bench.workers[1][0].stopped and bench.workers[1][0].killed
    assert len(bench.made(0)) == 12


async def test_a_machine_that_comes_after_one_was_given_up_is_used():
    bench = Bench([{"fails_at": 0}], [{"shard_s": 0.05}], [{"shard_s": 0.05}], num_records=200, replicas=2)
    running = asyncio.create_task(bench.run())
    while len(bench.workers[0]) < MAX_FAILURES or 0 in bench.scheduler.kept:
        await asyncio.sleep(0.01)
    bench.scheduler.resize(1)
    bench.scheduler.resize(2)
    await running
    assert len(bench.made(2)) > 5


async def test_a_failure_from_outside_ends_the_run_and_workers_write_down_what_they_have():
    bench = Bench([{"shard_s": 10.0}], [{"start_s": 60.0}])
    running = asyncio.create_task(bench.run())
    while not (bench.workers[0] and bench.workers[0][0].running):
        await asyncio.sleep(0.01)
    bench.scheduler.fail(RuntimeError("the ground is gone"))
    with pytest.raises(RuntimeError, match="the ground is gone"):
        await running
    [[first], [second]] = bench.workers
    assert first.stopped and first.killed
    assert second.killed and not second.stopped


async def test_a_run_that_is_cancelled_leaves_no_task_behind():
    bench = Bench([{"shard_s": 10.0}], [{"start_s": 60.0}])
    running = asyncio.create_task(bench.scheduler.run())
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(0.01)  # what was cancelled comes to its end
    assert asyncio.all_tasks() == {asyncio.current_task()}
