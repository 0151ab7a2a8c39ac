"""What it costs to write records down: the journals' share of a run's time, and memory over a million records.

    python benchmarks/journal.py [--records 1000000] [--run-records 10000] [--json FILE]

Two parts. The first is one worker on the simulated engine, in this process. Journals and commits have a thread of
their own, and no record waits for it: what they take from a run is the processor's time, and `cpu_share_of_run` is that
as a share of the run's wall-clock. Beside it stands how long that thread was busy, waiting for the disk included. The
second part has no engine: records go through journal, commit, manifest and merge as fast as they can, and memory is
read from the system as they do: what is the process's own (RssAnon, without pages of mapped files), after a tenth of
the records and at the end.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from one_worker import run_all

from synth.configuration.parsing import parse
from synth.records import Finished, Record, Spent, derive_seed
from synth.schedule import shard_files
from synth.schedule.plan import Plan
from synth.schedule.worker import Worker
from synth.storage.journal import Journal
from synth.storage.manifest import Manifest
from synth.storage.merge import merge
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit

SHARD = 1024
MOST_SHARE = 0.01
MOST_GROWTH_MIB = 64
SYNC_EVERY = 200  # records, in the part without an engine: about two seconds of a busy GPU
RNG = random.Random(0)
WORDS = "amber birch cedar delta ember fjord grove haven ivory jetty knoll lemon maple north ocean pearl".split()
TEXTS = [" ".join(RNG.choices(WORDS, k=200)) for _ in range(101)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000, help="of the part without an engine")
    parser.add_argument("--run-records", type=int, default=10_000, help="of the run on the simulated engine")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: a temporary one")
    parser.add_argument("--json", type=Path, help="write the figures into this file, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        share = asyncio.run(share_of_a_run(Path(folder) / "run", given.run_records))
        memory = memory_of(Path(folder) / "many", given.records)
    table("a run of {records:,} records".format(**share), share)
    table("{records:,} records without an engine".format(**memory), memory)
    figures = {"run": share, "storage": memory}
    print(json.dumps(figures))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    good = share["cpu_share_of_run"] <= MOST_SHARE and memory["growth_mib"] <= MOST_GROWTH_MIB
    return 0 if good else 1


def table(title: str, figures: dict[str, Any]) -> None:
    print(title)
    for name, value in figures.items():
        print(f"  {name.replace('_', ' '):32} {value:>14,}")


class Stopwatch:
    """Seconds in the functions that it wraps, wall-clock and CPU of the thread that called them."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - wall
                self.cpu_seconds += time.thread_time() - cpu

        return timed


async def share_of_a_run(path: Path, records: int) -> dict[str, Any]:
    """One worker, 256 requests at a time of 100 tokens a second: about what an 8 B model does on one GPU."""
    config = parse(
        {
            **{"num_records": records, "seed": 0, "output_dir": str(path), "shard_size": SHARD, "resume": "auto"},
            **{"min_yield": 0.05, "push_to_hub": None, "dry_run": False, "cluster": {}, "source": {}},
            "strategy": {"name": "journal", "steps": [{"_target_": "synth.steps.magpie.Magpie"}]},
            "model": {"path": "demo"},
            "engine": {"_target_": "synth.engines.simulated.Simulated", "tokens_per_second": 100.0},
        }
    )
    folder = RunFolder(path)
    folder.make()
    plan = Plan(records, shard_size=SHARD, replicas=1, min_yield=0.05)
    worker = Worker(config, path, "fingerprint")
    warm_up(folder)
    journals, commits = Stopwatch(), Stopwatch()
    with ExitStack() as patches:
        for name in ("append", "sync", "close", "remove"):
            patches.enter_context(patch.object(Journal, name, journals.wrap(getattr(Journal, name))))
        patches.enter_context(patch.object(shard_files, "commit", commits.wrap(commit)))
        await worker.start()
        start, cpu = time.perf_counter(), time.process_time()

        await run_all(worker, plan)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        await worker.stop()
    return {
        "records": records,
        "wall_s": round(wall, 2),
        "records_per_second": round(records / wall, 1),
        "cpu_of_all_s": round(cpu, 2),
        "cpu_of_journals_s": round(journals.cpu_seconds, 3),
        "cpu_of_commits_s": round(commits.cpu_seconds, 3),
        "cpu_share_of_run": round((journals.cpu_seconds + commits.cpu_seconds) / wall, 5),
        "busy_share_of_run": round((journals.seconds + commits.seconds) / wall, 5),
    }


def warm_up(folder: RunFolder) -> None:
    """The first record that a process writes has Arrow import pandas: a third of a second, once a worker."""
    journal = Journal.open(folder.journal(99_999), {})
    journal.append(Finished(0, kept=[row(0)]))
    journal.sync()
    journal.remove()


def memory_of(path: Path, records: int) -> dict[str, Any]:
    """All of them through journal, commit, manifest and merge."""
    folder = RunFolder(path)
    folder.make()
    manifest = Manifest({"seed": 0}, {}, {}, records)
    plan = Plan(records, shard_size=SHARD, replicas=1, min_yield=0.05)
    manifest.shards = plan.shards
    start, written, early = time.perf_counter(), time.monotonic(), 0.0
    while shard := plan.lease():
        journal = Journal.open(folder.journal(shard.index), {}, manifest.fingerprint)
        for number in range(shard.start, shard.stop):
            journal.append(Finished(number, kept=[row(number)], spent=spent(number)))
            if len(journal.finished) % SYNC_EVERY == 0:
                journal.sync()
        summary = commit(folder, shard, journal, {}, manifest.fingerprint)
        manifest.committed[shard.index] = summary
        plan.commit(shard.index, summary.kept)
        if time.monotonic() - written > 5:
            written = time.monotonic()
            manifest.write(folder)
        if not early and shard.stop >= records / 10:
            early = own_memory_mib()
    wall = time.perf_counter() - start
    late = own_memory_mib()
    manifest.write(folder)
    start = time.perf_counter()
    rows = merge([(folder, manifest)], folder.dataset, records)
    merged = time.perf_counter() - start
    start = time.perf_counter()
    damaged = manifest.damaged(folder)
    verified = time.perf_counter() - start
    assert rows == records and not damaged
    size = sum(path.stat().st_size for path in folder.dataset.glob("*.arrow"))
    return {
        "records": records,
        "dataset_mib": round(size / 2**20, 1),
        "write_and_commit_s": round(wall, 2),
        "microseconds_per_record": round(wall / records * 1e6, 1),
        "own_memory_at_a_tenth_mib": round(early, 1),
        "own_memory_at_the_end_mib": round(late, 1),
        "growth_mib": round(late - early, 1),
        "merge_s": round(merged, 2),
        "verify_checksums_s": round(verified, 2),
    }


def row(number: int) -> Record:
    """A conversation of about 1,400 characters."""
    asked, answered = f"{number} {TEXTS[number % 97][:200]}", TEXTS[number % 101]
    return {
        "id": str(number),
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}],
        "instruction": asked,
        "response": answered,
        "system_prompt": None,
        "strategy": "journal",
        "model": "simulated",
        "seed": derive_seed(0, str(number)),
        "lineage": [{"step": "magpie", "text": asked, "operation": None}],
        "usage": {"prompt_tokens": 50, "cached_tokens": 20, "completion_tokens": 230},
        "finish_reason": "stop",
    }


def spent(number: int) -> dict[str, dict[str, Spent]]:
    """What it took: one step, two calls."""
    return {str(number): {"magpie": Spent(2, 50, 20, 230, 2.3 / 256)}}


def own_memory_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


if __name__ == "__main__":
    sys.exit(main())
