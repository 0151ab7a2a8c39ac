"""DedupKeys against duplicates at ten million instructions: how many a second, and in how much memory.

    python benchmarks/claims.py [--kinds exact,near,semantic] [--records N] [--processes 1,2] [--json FILE]
    python benchmarks/claims.py --ray [...]

The first `--records` less `--timed` of the records are restored, as by a run that goes on. The others are claimed,
`--batch` at a time, and finalized shard by shard, so that each is looked for twice. All parts are in this process, and
each one's time is the processor's: what a machine is busy with besides makes no difference.

  claims/s   that the busiest part has time for: a claim, and its finalization
  memory     of all parts, for a claim
  pause      the longest time that a call took, for 1,024 records: it is when an index grows
  wrong      of 64 vectors: another lowest duplicate than a scan over all of them finds

With --ray the parts are the processes of a run (synth/schedule/dedup_processes.py): `--workers` simulated workers claim
as a run's do, `--in-flight` records each, and claims/s are by the clock, with all messages.

Keys are random. One in five instructions is nearly a copy of a lower one: the same key, a signature in which one in ten
positions differs, a vector at a squared distance of up to 0.1. Vectors are of 2,000 topics, with variances that fall
off as 1/i over their directions (`--white`: all alike, in no topic, the worst that an index can meet).
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from journal import own_memory_mib
from machine import processor

from synth.quality.duplicates import DedupKeys, Part, lowest
from synth.quality.exact_duplicate import ExactMatches
from synth.quality.near_duplicate import NearMatches
from synth.quality.semantic_duplicate import SemanticMatches
from synth.records import DedupKey, Place, Shard
from synth.schedule.dedup_keys import KeyFinalizer
from synth.schedule.shared import SharedProcess
from synth.storage.run_folder import RunFolder

SHARD = 1024
STEP = "repeated"
COPIES = 0.2
TOPICS = 2000
KINDS = {
    "exact": (ExactMatches(), 10_000_000),
    "near": (NearMatches(0.8, 128), 10_000_000),
    "semantic": (SemanticMatches(0.05), 1_000_000),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default="exact,near,semantic")
    parser.add_argument("--records", type=int, help="10 million, 1 million of vectors")
    parser.add_argument("--timed", type=int, default=51_200, help="of these, at the end")
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--white", action="store_true")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.ray:
        import ray

        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    results = []
    for kind in given.kinds.split(","):
        for processes in map(int, given.processes.split(",")):
            keys = Keys(kind, given.dimensions, given.white)
            records = given.records or KINDS[kind][1]
            with tempfile.TemporaryDirectory() as folder:
                on_ray = measured(Path(folder), keys, records, processes, given) if given.ray else None
                figures = asyncio.run(on_ray or here(keys, records, processes, given))
            results.append({"kind": keys.name, "records": records, "processes": processes, "ray": given.ray} | figures)
            print(", ".join(f"{name} {value}" for name, value in results[-1].items()), flush=True)
    if given.json:
        before = json.loads(given.json.read_text())["runs"] if given.json.exists() else []
        names = ("kind", "records", "processes", "ray")
        new = [[result[name] for name in names] for result in results]
        kept = [one for one in before if [one[name] for name in names] not in new]
        given.json.write_text(json.dumps({"machine": processor(), "runs": kept + results}, indent=2) + "\n")
    return 0


class Keys:
    """The keys of a run's records, a shard at a time, always the same."""

    def __init__(self, kind: str, dimensions: int, white: bool):
        self.kind = kind
        self.name = f"{kind} {dimensions}{' white' if white else ''}" if kind == "semantic" else kind
        rng = np.random.default_rng(1)
        self._spread = np.ones(dimensions, np.float32) if white else np.arange(1, dimensions + 1, dtype="f4") ** -0.5
        self._topics = None if white else rng.standard_normal((TOPICS, dimensions), np.float32) * self._spread
        self._common = 0 if white else 0.4 * rng.standard_normal(dimensions, np.float32) * self._spread

    def of(self, index: int) -> np.ndarray:
        """A row of bytes each."""
        rng = np.random.default_rng([7, index])
        own = self._own(rng)
        if index:
            other = self._own(np.random.default_rng([7, int(rng.integers(index))]))
            copies = rng.random(SHARD) < COPIES
            own[copies] = self._copied(other, rng)[copies]
        return own.view(np.uint8)

    def _own(self, rng: np.random.Generator) -> np.ndarray:
        if self.kind != "semantic":
            return rng.integers(0, 256, (SHARD, {"exact": 16, "near": 128}[self.kind]), np.uint8)
        vectors = rng.standard_normal((SHARD, len(self._spread)), np.float32) * self._spread
        if self._topics is not None:
            vectors = 0.66 * vectors + 0.75 * self._topics[rng.integers(0, TOPICS, SHARD)] + self._common
        return _unit(vectors)

    def _copied(self, keys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.kind == "exact":
            return keys
        if self.kind == "near":
            return np.where(rng.random(keys.shape) < 0.1, rng.integers(0, 256, keys.shape, np.uint8), keys)
        away = _unit(rng.standard_normal(keys.shape, np.float32))
        return _unit(keys + away * np.sqrt(rng.uniform(0, 0.1, (SHARD, 1))).astype(np.float32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")


class FilledPart(Part):
    """With the claims of the first shards in it, from the start."""

    async def fill(self, keys: Keys, shards: int) -> None:
        for index in range(shards):
            await self.restore(range(index * SHARD, (index + 1) * SHARD), STEP, dedup_keys_of(keys, index))

    async def used(self) -> tuple[float, float]:
        """Seconds of the processor, MiB of memory."""
        return time.process_time(), own_memory_mib()


class FilledKeys(KeyFinalizer):
    def __init__(self, finalized: int, *given: Any):
        super().__init__(*given)
        self._claims.finalized = finalized


def dedup_keys_of(keys: Keys, index: int) -> list[DedupKey]:
    return [DedupKey(STEP, (index * SHARD + at,), key.tobytes()) for at, key in enumerate(keys.of(index))]


async def here(keys: Keys, records: int, parts: int, given: Any) -> dict[str, Any]:
    duplicates = {STEP: KINDS[keys.kind][0]}
    shards, timed = records // SHARD, given.timed // SHARD
    before = shards - timed
    empty = own_memory_mib()
    made = [TimedPart(duplicates, part, parts) for part in range(parts)]
    claims = DedupKeys(duplicates, made)
    for index in range(before):
        await claims.restore(range(index * SHARD, (index + 1) * SHARD), dedup_keys_of(keys, index), [])
    restoring = max(part.seconds for part in made)
    for part in made:
        part.seconds = 0.0
    found = {}
    for index in range(before, shards):
        some = dedup_keys_of(keys, index)
        for start in range(0, SHARD, given.batch):
            for part in made:
                await part.claim(some[start : start + given.batch])
        found |= {
            one.place: one.like for one in await claims.finalize(range(some[0].place[0], some[-1].place[0] + 1), some)
        }
    wrong = await scanned(keys, some[:: SHARD // 64], found) if keys.kind == "semantic" else 0
    return {
        "claims_per_second": round(timed * SHARD / max(part.seconds for part in made)),
        "bytes_per_claim": round((own_memory_mib() - empty) * 2**20 / records),
        "restored_per_second": round(before * SHARD / restoring) if before else 0,
        "longest_pause_s": round(max(part.longest for part in made), 2),
        "duplicates": len(found),
        "wrong": wrong,
    }


class TimedPart(Part):
    def __init__(self, *given: Any):
        super().__init__(*given)
        self.seconds = self.longest = 0.0

    async def claim(self, claims: Sequence[DedupKey]) -> list[Place | None]:
        claims = [claim for claim in claims if self._number in self._division.asked(claim)]
        return await self._timed(super().claim(claims))

    async def finalize(self, *given: Any) -> list[Place | None]:
        return await self._timed(super().finalize(*given))

    async def restore(self, *given: Any) -> None:
        await self._timed(super().restore(*given))

    async def _timed(self, call: Awaitable[Any]) -> Any:
        begun = time.process_time()
        answer = await call
        took = time.process_time() - begun
        self.seconds, self.longest = self.seconds + took, max(self.longest, took)
        return answer


async def measured(folder: Path, keys: Keys, records: int, processes: int, given: Any) -> dict[str, Any]:
    from synth.schedule.dedup_processes import CALLS, DedupProcesses

    duplicates = {STEP: KINDS[keys.kind][0]}
    RunFolder(folder).make()
    shards, timed = records // SHARD, given.timed // SHARD
    before = shards - timed
    made = [SharedProcess("claims", FilledPart, duplicates, part, processes, calls=CALLS) for part in range(processes)]
    begun = time.perf_counter()
    await asyncio.gather(*(part.fill(keys, before) for part in made))
    filled = time.perf_counter() - begun
    shared = (before * SHARD, duplicates, folder, "claims", [], made)
    finalizing = SharedProcess("claims", FilledKeys, *shared, calls=CALLS)
    used = await asyncio.gather(*(part.used() for part in made))

    work = [dedup_keys_of(keys, index) for index in range(before, shards)]
    queue = iter([(index, claim) for index, some in enumerate(work) for claim in some])
    left, answers, finalizations = [SHARD] * len(work), {}, []

    async def record_after_record(own: DedupProcesses) -> None:
        for index, claim in queue:
            answers[claim.place] = await own.claim(claim)
            left[index] -= 1
            if not left[index]:
                shard = Shard(before + index, (before + index) * SHARD, (before + index + 1) * SHARD)
                finalizations.append(asyncio.create_task(own.finalize(shard, work[index])))

    async def worker() -> None:
        own = DedupProcesses(duplicates, finalizing, made)
        await asyncio.gather(*(record_after_record(own) for _ in range(given.in_flight)))

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(given.workers)))
    found = {one.place: one.like for some in await asyncio.gather(*finalizations) for one in some}
    seconds = time.perf_counter() - begun
    after = await asyncio.gather(*(part.used() for part in made))
    wrong = await scanned(keys, work[-1][:: SHARD // 64], found) if keys.kind == "semantic" else 0
    DedupProcesses(duplicates, finalizing, made).kill()
    cpu = sum(late - early for (late, _), (early, _) in zip(after, used, strict=True))
    return {
        "claims_per_second": round(timed * SHARD / seconds),
        "microseconds_per_claim": round(cpu / (timed * SHARD) * 1e6),
        "memory_mib": round(sum(memory for _, memory in after)),
        "restored_per_second": round(before * SHARD / filled),
        "duplicates": len(found),
        "found_at_once": sum(answer is not None for answer in answers.values()),
        "wrong": wrong,
    }


async def scanned(keys: Keys, claims: list[DedupKey], found: dict[Any, Any]) -> int:
    """How many of these have another duplicate than a comparison with all lower ones finds."""
    asked = np.stack([np.frombuffer(claim.key, "<f4") for claim in claims])
    first: dict[int, Any] = {}
    for index in range(claims[-1].place[0] // SHARD + 1):
        there = keys.of(index).view("<f4")
        near = np.argwhere(2 - 2 * asked @ there.T < 0.051)
        for at, row in near.tolist():
            place, square = (index * SHARD + row,), ((asked[at].astype(float) - there[row].astype(float)) ** 2).sum()
            if square < 0.05 and place < claims[at].place:
                first[at] = lowest([first.get(at), place])
    return sum(first.get(at) != found.get(claim.place) for at, claim in enumerate(claims))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
