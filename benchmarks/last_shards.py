"""What small shards at the end of a run are worth, with many replicas: the real plan and scheduler, in simulated time.

    python benchmarks/last_shards.py [--replicas 8,64] [--shards-each 2,4] [--in-flight 512]

A replica is simulated: so many records in flight, each for as long as a log-normal draw says, and its machine up to a
fifth slower than the fastest. Time jumps to the next event, so hours take seconds.

  lost   how much longer the run takes than with all replicas full to the end. Most of it is the last records' own time.
"""

import argparse
import asyncio
import json
import math
import random
import selectors
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import scale

from synth.records import Shard
from synth.schedule.plan import Plan
from synth.schedule.scheduler import Scheduler
from synth.storage.shard import ShardSummary

SHARD = 1024
MEAN_S, SIGMA = 30.0, 0.25  # of a record: a chain of calls, so the lengths of their answers even out
SLOWEST = 0.8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", default="8,64")
    parser.add_argument("--shards-each", default="2,4", help="shards of 1,024 records for each replica, on average")
    parser.add_argument("--in-flight", type=int, default=512, help="records of a replica")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "last_shards.json")
    given = parser.parse_args()
    result = []
    print(f"{'replicas':>8}{'records':>10}{'shards':>9}{'lost':>8}{'shards':>9}{'lost':>8}")
    print(f"{'':18}{'of one size':>17}{'smaller':>17}")
    for replicas in map(int, given.replicas.split(",")):
        for each in map(float, given.shards_each.split(",")):
            records = round(replicas * each * SHARD)
            arms = {}
            for name, plan_type in (("equal", EqualShards), ("smaller", Plan)):
                runs = [one_run(plan_type, replicas, records, given.in_flight, seed) for seed in range(given.seeds)]
                arms[name] = {"shards": runs[0][0], "lost": sum(lost for _, lost in runs) / len(runs)}
            result.append({"replicas": replicas, "records": records} | arms)
            shown = "".join(f"{arm['shards']:9,}{arm['lost']:8.1%}" for arm in arms.values())
            print(f"{replicas:8}{records:10,}{shown}", flush=True)
    given.json.write_text(json.dumps({"in_flight": given.in_flight, "runs": result}, indent=2) + "\n")
    return 0


class EqualShards(Plan):
    """Shards of one size, and at least four of them for each replica: as it was before."""

    def _size(self, records: int, most: int) -> int:
        return most


class SimulatedTime(asyncio.SelectorEventLoop):
    """A loop that never waits: its clock jumps to whatever is due next."""

    def __init__(self) -> None:
        super().__init__(JumpingSelector(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: SimulatedTime):
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list:
        if timeout:
            self._loop.now += timeout
        return super().select(0)


def one_run(
    plan_type: Callable[..., Plan], replicas: int, records: int, in_flight: int, seed: int
) -> tuple[int, float]:
    """Shards, and the share of time that was lost."""
    rng = random.Random(seed)
    speeds = [rng.uniform(SLOWEST, 1) for _ in range(replicas)]
    plan = plan_type(records, shard_size=SHARD, replicas=replicas, min_yield=0.05)
    scheduler = Scheduler(plan, replicas, lambda index: SimulatedReplica(speeds[index], in_flight), lambda _: None)
    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        runner.run(scheduler.run())
        took = runner.get_loop().time()
    work = sum(seconds_of(number) for number in range(records))
    return len(plan.shards), took / (work / (in_flight * sum(speeds))) - 1


def seconds_of(number: int) -> float:
    return MEAN_S * math.exp(random.Random(number).gauss(0, SIGMA) - SIGMA**2 / 2)


class SimulatedReplica(scale.SimulatedReplica):
    """One whose records take their time, and nothing is written down."""

    def __init__(self, speed: float, in_flight: int):
        self._speed, self._most = speed, in_flight
        self._slots = asyncio.Semaphore(in_flight)
        self._backlog = 0
        self._launched = asyncio.Event()

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary:
        self._backlog += len(shard)
        async with asyncio.TaskGroup() as records:
            for number in range(shard.start, shard.stop):
                await self._slots.acquire()
                self._backlog -= 1
                self._launched.set()
                records.create_task(self._record(number))
        return ShardSummary(index=shard.index, start=shard.start, stop=shard.stop, kept=len(shard), rejected=0)

    async def _record(self, number: int) -> None:
        await asyncio.sleep(seconds_of(number) / self._speed)
        self._slots.release()

    async def wants_work(self) -> None:
        while self._backlog > self._most // 8:
            self._launched.clear()
            await self._launched.wait()


if __name__ == "__main__":
    sys.exit(main())
