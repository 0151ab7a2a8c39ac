"""Records that are begun in vain at the end of a run, and how long its last records take: with and without claims.

    python benchmarks/last_records.py [--rows 200] [--replicas 1] [--seeds 20] [--quick 1.0] [--json FILE]

Plan, scheduler and poll are the real ones, in simulated time. A replica has 64 records at once, and twice as many
begun; their times are lognormal (median 1, sigma 0.7). A record is kept by chance, at yields of 10, 20, 50 and 76 %. A
rejected one ends after `--quick` of its time, as one that a first filter rejects does. With claims, one finished row in
thirty (`--late`) turns out to be a duplicate when its shard is finalized, after all lower ones.

  in vain   records that were begun, of those above the last one of the dataset, in per cent of all
  seconds   of records, that were spent on these, in per cent of all
  tail      from the first time that the slots are not all taken to the end, in median times of a record
  waits     runs of which all slots were empty before the end: a stall
  rows      kept in all

A thousand replicas at a yield of 20 % are --rows 20000 --replicas 1000 --seeds 1.
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from last_shards import SimulatedTime
from scale import SimulatedReplica

from synth.records import Shard
from synth.schedule import needed as rules
from synth.schedule.ends import End
from synth.schedule.needed import Needed
from synth.schedule.plan import Plan
from synth.schedule.scheduler import Scheduler
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary

AT_ONCE = 64
SIGMA = 0.7
YIELDS = (0.1, 0.2, 0.5, 0.76)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--margins", default=f"{rules.MARGIN}/{rules.LATE_MARGIN}", help="of needed.py, as 0.5/2,0/0")
    parser.add_argument("--late", type=float, default=1 / 30)
    parser.add_argument("--quick", type=float, default=1.0, help="share of its time that a rejected record takes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = []
    print(
        f"{'margins':>9} {'claims':>6} {'yield':>6} {'in vain':>8} {'seconds':>8} {'tail':>6} {'waits':>6} {'rows':>6}"
    )
    for margins in given.margins.split(","):
        rules.MARGIN, rules.LATE_MARGIN = map(float, margins.split("/"))
        for claims in (False, True):
            for share in YIELDS:
                runs = [
                    one_run(given.rows, given.replicas, Records(share, given.late * claims, claims, seed, given.quick))
                    for seed in range(given.seeds)
                ]
                result = {name: round(statistics.mean(run[name] for run in runs), 2) for name in runs[0]}
                results.append({"margins": margins, "claims": claims, "yield": share} | result)
                print(
                    f"{margins:>9} {'yes' if claims else 'no':>6} {share:6.0%} {result['in_vain']:7.1f}% "
                    f"{result['seconds_in_vain']:7.1f}% {result['tail']:6.1f} {result['waits']:6.2f} "
                    f"{result['rows']:6.0f}",
                    flush=True,
                )
    if given.json:
        given.json.write_text(json.dumps(vars(given) | {"json": None, "runs": results}, indent=2) + "\n")
    return 0


def one_run(rows: int, replicas: int, records: "Records") -> dict[str, float]:
    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        return runner.run(_one_run(rows, replicas, records))


class Records:
    """What becomes of each, and how the run goes."""

    def __init__(self, share: float, late: float, claims: bool, seed: int, quick: float):
        self.share, self.late, self.claims, self._seed, self._quick = share, late, claims, seed, quick
        self.spent: dict[int, float] = {}
        self.running = 0
        self.full: list[tuple[float, int]] = []  # when so many began to run
        self.finalized = 0
        self.turn = asyncio.Condition()

    def of(self, number: int) -> tuple[float, int, int]:
        """How long it takes, whether it is finished as a row, and whether it stays one."""
        rng = random.Random(f"{self._seed} {number}")
        kept = int(rng.random() < self.share)
        late = rng.random() < self.late
        return rng.lognormvariate(0, SIGMA) * (1 if kept else self._quick), kept, kept and int(not late)

    def note(self, more: int) -> None:
        self.running += more
        self.full.append((asyncio.get_running_loop().time(), self.running))


async def _one_run(rows: int, replicas: int, records: Records) -> dict[str, float]:
    plan = Plan(rows, shard_size=1024, replicas=replicas, min_yield=0.01, final=not records.claims)
    scheduler = Scheduler(plan, replicas, lambda _: Replica(records), lambda summary: None, ordered=records.claims)
    await scheduler.run()
    assert plan.done
    end = asyncio.get_running_loop().time()
    count, last = 0, -1
    while count < rows:
        last += 1
        count += records.of(last)[2]
    above = {number: seconds for number, seconds in records.spent.items() if number > last}
    slots = replicas * AT_ONCE
    full = max((at for at, running in records.full if running >= slots), default=0.0)
    idle = any(running == 0 and full < at < end - 0.3 for at, running in records.full)
    return {
        "in_vain": 100 * len(above) / len(records.spent),
        "seconds_in_vain": 100 * sum(above.values()) / sum(records.spent.values()),
        "tail": end - full,
        "waits": idle,
        "rows": plan.kept,
    }


class Replica(SimulatedReplica):
    """Its records begin in their order, twice as many as run at once, and each waits for its turn to run."""

    def __init__(self, records: Records):
        super().__init__(RunFolder(Path()), None)
        self._records = records
        self._slots, self._engine = asyncio.Semaphore(2 * AT_ONCE), asyncio.Semaphore(AT_ONCE)
        self._ends: list[End] = []
        self._looked_at = 0
        self._needed, self._lowest_cut = Needed(), math.inf
        self._changed = asyncio.Event()
        self._backlog = 0
        self._tasks: dict[asyncio.Task[None], int] = {}

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary | None:
        ends: dict[int, int] = {}
        left = len(shard)
        self._backlog += left
        tasks = []
        for number in range(shard.start, shard.stop):
            while self._needed.launch <= number < self._needed.cut:
                await self._changed.wait()
            if number >= self._needed.cut:
                break
            await self._slots.acquire()
            task = asyncio.create_task(self._make(shard, number, ends))
            self._tasks[task] = number
            task.add_done_callback(self._end)
            tasks.append(task)
            left -= 1
            self._launch(1)
        self._launch(left)
        await asyncio.gather(*tasks, return_exceptions=True)
        stop = next((number for number in range(shard.start, shard.stop) if number not in ends), shard.stop)
        if stop < shard.stop and not shard.start < self._needed.cut <= stop:
            return None
        if self._records.claims:
            async with self._records.turn:
                await self._records.turn.wait_for(lambda: self._records.finalized >= shard.start)
                self._records.finalized = max(self._records.finalized, stop)
                self._records.turn.notify_all()
        kept = sum(self._records.of(number)[2] for number in range(shard.start, stop))
        return ShardSummary(
            index=shard.index,
            start=shard.start,
            stop=stop,
            kept=kept,
            rejected=stop - shard.start - kept,
            planned_stop=shard.stop if stop < shard.stop else None,
        )

    async def _make(self, shard: Shard, number: int, ends: dict[int, int]) -> None:
        seconds, kept, _ = self._records.of(number)
        async with self._engine:
            self._records.note(1)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            try:
                await asyncio.sleep(seconds)
            finally:
                self._records.spent[number] = self._records.spent.get(number, 0) + loop.time() - begun
                self._records.note(-1)
        ends[number] = kept
        self._ends.append(End(shard.index, number, kept, seconds))

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._slots.release()

    def _launch(self, records: int) -> None:
        self._backlog -= records
        self._changed.set()
        self._changed = asyncio.Event()

    async def wants_work(self) -> None:
        while self._backlog > AT_ONCE // 4:
            await self._changed.wait()

    async def poll(self, seen: int, needed: Needed) -> list[End]:
        if needed != self._needed:
            self._needed, self._lowest_cut = needed, min(self._lowest_cut, needed.cut)
            self._launch(0)
            for task, number in self._tasks.items():
                if number >= needed.cut:
                    task.cancel()
        del self._ends[: seen - self._looked_at]
        self._looked_at = seen
        return list(self._ends)


if __name__ == "__main__":
    sys.exit(main())
