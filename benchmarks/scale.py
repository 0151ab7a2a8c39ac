"""From one replica to a thousand: what the schedule, the journals and the commits cost, without any engine.

    python benchmarks/scale.py [--replicas 1,10,100,1000] [--records 1000000] [--rows 10000000]

The plan, the scheduler, the manifest, the journals and the commits are the real ones. The replicas are simulated: a
shard takes its replica no time but that of writing it down, in two processes beside the driver's as on the machines of
a cluster. So the replicas always want work, which is the worst that a driver can meet.

  records/s   through plan, lease, journal and commit, all on this machine
  driver      processor time of the driver's process, of one record
  lone        the same of a driver whose replicas write nothing: what the bound would be if the disk cost nothing
  of 20 %     the same as lone, where one record in five is kept, and the plan grows
  memory      of the driver's own (RssAnon), after a tenth of the records and at the end

`--planned` records are planned, and half of their shards committed with what filters and several models leave in a
summary: memory of plan and manifest, and the processor time that the manifest takes, at first and later on.

Then as many shards as hold `--rows` rows are merged to a dataset, and the dataset is opened. They are hard links to one
shard, so that a small disk suffices; a merge reads nothing of them in any case.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from journal import own_memory_mib, row
from machine import processor

from synth.records import Finished, Shard, Spent
from synth.schedule.counters import Counters
from synth.schedule.ends import End
from synth.schedule.needed import Needed
from synth.schedule.plan import Plan
from synth.schedule.scheduler import Scheduler
from synth.schedule.shard_sizes import MOST_SHARDS, SHARD_SIZE
from synth.storage.journal import Journal
from synth.storage.manifest import Manifest
from synth.storage.merge import merge
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary, commit

SHARD = 512
MANIFEST_INTERVAL_S = 5.0
SHARDS_EACH = 5  # at the least, so that a run is not all beginning and end
WRITERS = 2
GOAL = 50_000  # records a second
YIELD = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", default="1,10,100,1000")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the merge")
    parser.add_argument("--planned", type=int, default=100_000_000)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "scale.json")
    given = parser.parse_args()
    results = {"machine": processor(), "shard": SHARD}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        results["replicas"] = grown(Path(folder), list(map(int, given.replicas.split(","))), given.records)
        results["planned"] = planned(RunFolder(Path(folder) / "planned"), given.planned)
        results["merge"] = merged(RunFolder(Path(folder) / "merge"), given.rows)
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if results["replicas"][-1]["records_per_second"] >= GOAL else 1


def grown(folder: Path, replicas: list[int], most: int) -> list[dict]:
    """One run for each number of replicas, and one in which nothing is written."""
    print(f"{'replicas':>8} {'records/s':>10} {'driver':>10} {'lone':>10} {'of 20 %':>10} {'memory':>14}")
    result = []
    with ProcessPoolExecutor(WRITERS) as writers:
        list(writers.map(warm_up, range(WRITERS)))
        for count in replicas:
            records = max(most, count * SHARD * SHARDS_EACH)
            lone = asyncio.run(run(RunFolder(folder / f"lone-{count}"), count, records, None))
            whole = asyncio.run(run(RunFolder(folder / f"run-{count}"), count, records, writers))
            whole |= {"lone_microseconds_per_record": lone["driver_microseconds_per_record"]}
            few = asyncio.run(run(RunFolder(folder / f"few-{count}"), count, records, None, YIELD))
            whole |= {"microseconds_per_record_at_a_yield_of_20": few["driver_microseconds_per_record"]}
            result.append({"replicas": count, "records": records} | whole)
            print(
                f"{count:8,} {whole['records_per_second']:10,.0f} {whole['driver_microseconds_per_record']:7.2f} us "
                f"{whole['lone_microseconds_per_record']:7.2f} us {few['driver_microseconds_per_record']:7.2f} us "
                f"{whole['memory_at_a_tenth_mib']:5.0f} to "
                f"{whole['memory_at_the_end_mib']:.0f} MiB",
                flush=True,
            )
    return result


async def run(
    folder: RunFolder, replicas: int, records: int, writers: Executor | None, share: float = 1.0
) -> dict[str, float]:
    folder.make()
    wanted = round(share * records)
    manifest = Manifest({"seed": 0}, {}, {}, wanted)
    plan = Plan(wanted, shard_size=SHARD, replicas=1, min_yield=0.05, on_growth=lambda: manifest.write(folder))
    manifest.shards = plan.shards
    written, early = time.monotonic(), 0.0

    def on_commit(summary: ShardSummary) -> None:
        nonlocal written, early
        manifest.committed[summary.index] = summary
        if time.monotonic() - written > MANIFEST_INTERVAL_S:
            written = time.monotonic()
            manifest.write(folder)
        if not early and plan.kept >= wanted / 10:
            early = own_memory_mib()

    scheduler = Scheduler(plan, replicas, lambda _: SimulatedReplica(folder, writers, share), on_commit)
    start, cpu = time.perf_counter(), time.process_time()
    await scheduler.run()
    manifest.write(folder)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert plan.done and plan.kept >= wanted
    records = sum(one.stop - one.start for one in manifest.committed.values())
    late = own_memory_mib()
    shutil.rmtree(folder.path)
    return {
        "records_per_second": round(records / wall),
        "driver_microseconds_per_record": round(cpu / records * 1e6, 3),
        "memory_at_a_tenth_mib": round(early, 1),
        "memory_at_the_end_mib": round(late, 1),
    }


class SimulatedReplica:
    """A WorkerHandle that makes nothing, at once. Two shards at a time, as a worker in the tail of one has."""

    def __init__(self, folder: RunFolder, writers: Executor | None, share: float = 1.0):
        self._folder, self._writers, self._share = folder, writers, share
        self._running = 0
        self._ended = asyncio.Event()

    async def start(self) -> None:
        pass

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary:
        self._running += 1
        if self._writers is None:
            await asyncio.sleep(0)
            kept = round(self._share * len(shard))
            ends = {"kept": kept, "rejected": len(shard) - kept}
            summary = ShardSummary(index=shard.index, start=shard.start, stop=shard.stop, **ends)
        else:
            loop = asyncio.get_running_loop()
            summary = await loop.run_in_executor(self._writers, write_down, self._folder, shard)
        self._running -= 1
        self._ended.set()
        return summary

    async def wants_work(self) -> None:
        while self._running >= 2:
            self._ended.clear()
            await self._ended.wait()

    async def poll(self, seen: int, needed: Needed) -> list[End]:
        return []

    async def probe(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def counters(self) -> Counters:
        return Counters()

    async def stop(self) -> None:
        pass

    async def kill(self) -> None:
        pass


def planned(folder: RunFolder, records: int) -> dict[str, float]:
    folder.make()
    before = own_memory_mib()
    manifest = Manifest({"seed": 0}, {}, {}, records)
    start = time.process_time()
    plan = Plan(records, shard_size=SHARD_SIZE, replicas=1000, min_yield=0.05, most_shards=MOST_SHARDS)
    plan.next()
    manifest.shards = plan.shards
    seconds, memory, count = time.process_time() - start, own_memory_mib() - before, len(plan.shards)
    start = time.process_time()
    manifest.write(folder)
    first = time.process_time() - start
    for _ in range(count // 2):
        shard = plan.lease()
        assert shard is not None
        manifest.committed[shard.index] = filtered(shard)
        plan.commit(shard.index, manifest.committed[shard.index].kept)
    manifest.write(folder)
    for shard in (plan.lease() for _ in range(100)):
        manifest.committed[shard.index] = filtered(shard)
    start = time.process_time()
    manifest.write(folder)
    again = time.process_time() - start
    result = {
        "records": records,
        "shards": count,
        "plan_s": round(seconds, 2),
        "plan_mib": round(memory, 1),
        "first_manifest_s": round(first, 3),
        "half_committed_mib": round(own_memory_mib() - before, 1),
        "manifest_mb": round(folder.manifest.stat().st_size / 1e6, 1),
        "later_manifest_s": round(again, 3),
    }
    print(", ".join(f"{name} {value:,}" for name, value in result.items()), flush=True)
    return result


def filtered(shard: Shard) -> ShardSummary:
    """Of a chain of four models and five filters, at a yield of 20 %."""
    steps = ["magpie", "tagger", "reward", "respond"]
    reasons = {f"filter_{at}: a_reason": len(shard) * 4 // 25 for at in range(5)}
    spent = {end: {step: Spent(10, 1000, 100, 2000, 12.3456) for step in steps} for end in ["kept", *reasons]}
    kept = len(shard) // 5
    return ShardSummary(
        index=shard.index,
        start=shard.start,
        stop=shard.stop,
        kept=kept,
        rejected=len(shard) - kept,
        fingerprint="0123456789abcdef",
        reasons=reasons,
        spent=spent,
        checksum="0" * 32,
        rejected_checksum="0" * 32,
    )


ROWS = [row(number) for number in range(SHARD)]


def write_down(folder: RunFolder, shard: Shard) -> ShardSummary:
    """A shard through journal and commit, as a worker does it: the rows are there already, their numbers are not."""
    journal = Journal.open(folder.journal(shard.index), {}, "scale")
    for number, one in zip(range(shard.start, shard.stop), ROWS, strict=False):
        journal.append(Finished(number, kept=[one | {"id": str(number)}]))
    journal.sync()
    return commit(folder, shard, journal, {}, "scale")


def warm_up(_: int) -> None:
    """The first record that a process writes has Arrow import pandas."""
    with tempfile.TemporaryDirectory() as folder:
        RunFolder(Path(folder)).make()
        write_down(RunFolder(Path(folder)), Shard(0, 0, 1))
        time.sleep(0.5)  # so that the other process takes the other call


def merged(folder: RunFolder, rows: int) -> dict[str, float]:
    """Shards of the run's size, all of them one file."""
    from datasets import load_from_disk

    folder.make()
    size = 1000
    journal = Journal.open(folder.journal(0), {}, "scale")
    for number in range(size):
        journal.append(Finished(number, kept=[row(number) | {"id": str(number)}]))
    first = commit(folder, Shard(0, 0, size), journal, {}, "scale")
    manifest = Manifest({"seed": 0}, {}, {}, rows)
    for index in range(rows // size):
        manifest.shards.append(Shard(index, index * size, (index + 1) * size))
        manifest.committed[index] = replace(first, index=index, start=index * size, stop=(index + 1) * size)
        if index:
            os.link(folder.shard(0), folder.shard(index))
    start = time.perf_counter()
    count = merge([(folder, manifest)], folder.dataset, rows)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    dataset = load_from_disk(str(folder.dataset))
    opened = time.perf_counter() - start
    assert count == len(dataset) == rows // size * size
    print(f"{count:,} rows in {rows // size:,} shards merged in {seconds:.1f} s, opened by datasets in {opened:.1f} s")
    return {"rows": count, "shards": rows // size, "merge_s": round(seconds, 2), "open_s": round(opened, 2)}


if __name__ == "__main__":
    sys.exit(main())
