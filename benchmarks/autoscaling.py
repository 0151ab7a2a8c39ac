"""GPUs that go from model to model as a run needs them, beside every fixed division of them, in simulated time.

    python benchmarks/autoscaling.py [--records 40000]

64 GPUs, eight on a node; a generator of 70B, four GPUs an engine, and a judge of 8B, one GPU an engine. Half-way the
records change: their answers are shorter or longer, and the judge is asked more and writes more, or less. Scheduler,
pools of engines, routing of requests and autoscaler are the real ones. Simulated are the engines, their load times and
the clock: a step of an engine takes a fixed time, and a little for each request that it has.

  fixed     the whole run with so many engines of each model from beginning to end
  auto      `replicas: auto` of both, which begins with as many generators as fit
  ratio     the time of auto over that of the best fixed division, chosen with hindsight
"""

import argparse
import asyncio
import json
import math
import random
import sys
from collections.abc import Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import processor

from synth.engines import Answer, EngineStats, Placement, Sampling
from synth.records import Shard
from synth.schedule.autoscaler import Autoscaler
from synth.schedule.background import beside
from synth.schedule.balance import Observed
from synth.schedule.capacity import Capacity
from synth.schedule.ends import End
from synth.schedule.engine_pool import EnginePool
from synth.schedule.engine_process import EngineCounters, Facts, Reply
from synth.schedule.needed import Needed
from synth.schedule.places import Places, Share
from synth.schedule.plan import Plan
from synth.schedule.pooled_engine import PooledEngine
from synth.schedule.priority_semaphore import PrioritySemaphore, Slot
from synth.schedule.scheduler import Scheduler
from synth.schedule.worker_handle import WorkerLost
from synth.storage.shard import ShardSummary

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.schedule.virtual_time import VirtualTime

NODES = {f"node{number}": 8.0 for number in range(8)}
GPUS = {"main": 4.0, "judge": 1.0}
AT_ONCE = 32
SHARD = 128
GOAL = 1.05


@dataclass(frozen=True)
class Kind:
    """An engine: seconds of a step, and for each request in it; seconds to load."""

    step_s: float
    each_s: float
    load_s: float


KINDS = {"main": Kind(0.020, 0.0004, 120.0), "judge": Kind(0.008, 0.00015, 45.0)}


@dataclass(frozen=True)
class Mix:
    """What a record is made of: tokens of the answer, verdicts on it and tokens of each."""

    answer: int
    verdicts: int
    verdict: int


WRITING, JUDGING = Mix(800, 2, 300), Mix(400, 6, 600)
# The records of the first half of a run, and those of the second.
SCENARIOS = {
    "more judging in the second half": (WRITING, JUDGING),
    "less judging in the second half": (JUDGING, WRITING),
    "the same all along": (JUDGING, JUDGING),
}


class SimulatedEngine:
    """Requests that run share its steps. A request is over when it has had as many steps as it has tokens."""

    def __init__(self, kind: Kind):
        self._kind = kind
        self._loop = asyncio.get_running_loop()
        self._steps, self._then = 0.0, self._loop.time()  # steps made so far
        self._ends: list[tuple[float, int, asyncio.Future[None]]] = []  # by the step in which they end
        self._queue: list[tuple[int, asyncio.Future[None]]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self.tokens = 0.0

    @property
    def running(self) -> int:
        return len(self._ends)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def generate(self, tokens: int) -> None:
        ended: asyncio.Future[None] = self._loop.create_future()
        self._pass()
        self._queue.append((tokens, ended))
        self._admit()
        try:
            await ended
        finally:
            if ended.cancelled():
                self._pass()
                self._queue = [one for one in self._queue if one[1] is not ended]
                self._ends = [end for end in self._ends if end[2] is not ended]
                self._admit()

    def look(self) -> None:
        """So that `tokens` are those of this moment."""
        self._pass()
        self._admit()

    def _pass(self) -> None:
        now = self._loop.time()
        if self._ends:
            steps = (now - self._then) / (self._kind.step_s + self._kind.each_s * len(self._ends))
            self._steps += steps
            self.tokens += steps * len(self._ends)
        self._then = now

    def _admit(self) -> None:
        while self._queue and len(self._ends) < AT_ONCE:
            tokens, ended = self._queue.pop(0)
            self._count += 1
            self._ends.append((self._steps + tokens, self._count, ended))
            self._ends.sort(reverse=True)  # of few
        if self._timer:
            self._timer.cancel()
        if self._ends:
            step_s = self._kind.step_s + self._kind.each_s * len(self._ends)
            self._timer = self._loop.call_later(max(0.0, (self._ends[-1][0] - self._steps) * step_s), self._end)

    def _end(self) -> None:
        self._pass()
        while self._ends and self._ends[-1][0] <= self._steps + 1e-6:
            ended = self._ends.pop()[2]
            if not ended.done():
                ended.set_result(None)
        self._admit()


class SimulatedProcess:
    """A PlacedProcess with an engine of the judge's in it; also what a pooled engine asks."""

    actor = None

    def __init__(self, kind: Kind):
        self._kind = kind
        self.engine: SimulatedEngine | None = None
        self._gone, self._leaving = asyncio.Event(), asyncio.Event()

    async def make(self, timeout_s: float) -> None: ...

    async def call(self, method: str) -> Any:
        if method == "start":
            await asyncio.sleep(self._kind.load_s)
            self.engine = SimulatedEngine(self._kind)
            return Facts(8192, frozenset())
        assert self.engine is not None
        if method == "counters":
            self.engine.look()
            load = EngineStats(self.engine.running, self.engine.waiting)
            return EngineCounters(0, 0, round(self.engine.tokens), 0.0, load)
        if method == "leave":
            self._leaving.set()
            return None
        await self._gone.wait()
        raise WorkerLost("it was killed")

    async def kill(self) -> None:
        self._gone.set()

    async def ask(self, prompt: Any, sampling: Sampling | None, granted: int | None = None) -> Reply:
        assert self.engine is not None and sampling is not None
        answering = asyncio.ensure_future(self.engine.generate(sampling.max_tokens))
        leaving = asyncio.ensure_future(self._leaving.wait())
        await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not answering.done():
            answering.cancel()
            return Reply(None, 0, leaving=True)
        return Reply(Answer([], "stop", 0), self.engine.running + self.engine.waiting)

    async def alone(self) -> int:
        raise NotImplementedError


class SimulatedWorker:
    """A WorkerHandle: an engine of the generator's, and the records that run on it."""

    def __init__(self, run: "SimulatedRun"):
        self._run = run
        self.engine: SimulatedEngine | None = None
        self.judge = PooledEngine("judge")
        self._semaphore = PrioritySemaphore(2 * AT_ONCE)
        self._backlog = 0
        self._launched = asyncio.Event()
        self._stopped = False
        self._records: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await asyncio.sleep(KINDS["main"].load_s)
        self.engine = SimulatedEngine(KINDS["main"])
        self._run.workers.add(self)
        self._run.tell()
        await self.judge.ready()

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary | None:
        missing = [one for one in range(shard.start, shard.stop) if one not in self._run.finished]
        self._backlog += len(missing)
        making = []
        for number in missing:
            slot = await self._semaphore.acquire(number)
            if self._stopped:
                return None
            self._backlog -= 1
            self._launched.set()
            task = asyncio.create_task(self._make(number, slot))
            making.append(task)
            self._records.add(task)
            task.add_done_callback(self._records.discard)
        made = await asyncio.gather(*making, return_exceptions=True)
        if self._stopped:
            return None
        for one in made:
            if isinstance(one, Exception):
                raise one
        return ShardSummary(index=shard.index, start=shard.start, stop=shard.stop, kept=len(shard), rejected=0)

    def tell(self, engines: Mapping[int, Any], facts: Facts, version: int, workers: int) -> None:
        if self.judge.update(engines, facts, version):
            self._semaphore.resize(math.ceil(2 * AT_ONCE * (1 + len(engines) / workers)))

    async def _make(self, number: int, slot: Slot) -> None:
        try:
            mix = self._run.mixes[number >= self._run.records / 2]
            rng = random.Random(number)
            assert self.engine is not None
            await self.engine.generate(length(rng, mix.answer))
            for _ in range(mix.verdicts):
                await self.judge.generate([], Sampling(max_tokens=length(rng, mix.verdict)))
            self._run.finished.add(number)
        finally:
            slot.release()

    async def wants_work(self) -> None:
        while self._backlog >= AT_ONCE:
            self._launched.clear()
            await self._launched.wait()

    async def poll(self, seen: int, needed: Needed) -> list[End]:
        return []

    async def probe(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def counters(self) -> Any:
        raise NotImplementedError

    async def stop(self) -> None:
        self._stopped = True
        for record in self._records:
            record.cancel()

    async def kill(self) -> None:
        self._run.leave(self)


def length(rng: random.Random, mean: int) -> int:
    return max(1, round(mean * math.exp(rng.gauss(-0.125, 0.5))))


class SimulatedRun:
    def __init__(self, records: int, mixes: tuple[Mix, Mix], fixed: tuple[int, int] | None):
        self.records, self.mixes = records, mixes
        self.finished: set[int] = set()
        self.workers: set[SimulatedWorker] = set()
        self._gone_tokens = 0.0
        self._news = 0
        counts = dict(zip(GPUS, fixed, strict=True)) if fixed else {}
        shares = {name: Share(gpus, counts.get(name, 1), not fixed) for name, gpus in GPUS.items()}
        places = Places(shares)
        assert places.follow(NODES, "main") is None
        placements = {name: Placement(gpus=gpus, cpus=0) for name, gpus in GPUS.items()}
        capacity = Capacity(0, placements["main"], True, len(NODES), {"judge": (0, placements["judge"])})
        self.autoscaler = Autoscaler(capacity.with_places(places), [] if fixed else list(GPUS), lambda capacity: None)
        self.seen: list[tuple[float, dict[str, int], dict[str, int]]] = []

    async def go(self) -> float:
        loop = asyncio.get_running_loop()
        self._spawned: dict[int, SimulatedProcess] = {}
        pool = self._pool = EnginePool(
            "judge", self.autoscaler.capacity.nodes("judge"), self._spawn, math.inf, on_change=self.tell
        )
        plan = Plan(self.records, shard_size=SHARD, replicas=1, min_yield=0.05)
        scheduler = self._scheduler = Scheduler(
            plan,
            self.autoscaler.capacity.replicas,
            self._worker,
            lambda summary: None,
            unfinished=self._unfinished,
        )
        self.autoscaler.follow(scheduler, self)
        began = loop.time()
        await beside(scheduler.run(), pool.run(), self.autoscaler.balance(self.look, self._left), self._record())
        assert len(self.finished) == self.records
        return loop.time() - began

    def _worker(self, index: int) -> SimulatedWorker:
        self.autoscaler.node(index)
        return SimulatedWorker(self)

    def _spawn(self, number: int, node: str | None) -> SimulatedProcess:
        process = self._spawned[number] = SimulatedProcess(KINDS["judge"])
        return process

    async def _unfinished(self, shard: Shard) -> list[int]:
        return [one for one in range(shard.start, shard.stop) if one not in self.finished]

    def tell(self) -> None:
        if self._pool.facts:
            self._news += 1
            for worker in self.workers:
                worker.tell(self._pool.running, self._pool.facts, self._news, self.autoscaler.capacity.replicas)

    def resize(self, capacity: Capacity) -> None:
        self._pool.resize(capacity.nodes("judge"))
        self.tell()

    @property
    def slowest_start_s(self) -> float:
        return self._pool.slowest_start_s

    def leave(self, worker: SimulatedWorker) -> None:
        if worker.engine and worker in self.workers:
            self._gone_tokens += worker.engine.tokens
        self.workers.discard(worker)

    def look(self) -> dict[str, Observed]:
        mains = [worker.engine for worker in self.workers if worker.engine]
        processes = list(self._pool.running.values())
        judges = [process.engine for process in processes if isinstance(process, SimulatedProcess) and process.engine]
        for engine in (*mains, *judges):
            engine.look()
        everywhere = [one.engine for one in self._spawned.values() if one.engine]
        return {
            "main": Observed(
                len(mains),
                self._scheduler.replicas,
                AT_ONCE,
                sum(one.running for one in mains),
                sum(one.waiting for one in mains),
                self._gone_tokens + sum(one.tokens for one in mains),
            ),
            "judge": Observed(
                len(judges),
                self._pool.wanted,
                AT_ONCE,
                sum(judge.running for judge in judges),
                sum(judge.waiting for judge in judges),
                sum(one.tokens for one in everywhere),
            ),
        }

    def _left(self) -> float | None:
        """As many seconds as the records so far have taken, for each that is left."""
        if not self.finished:
            return None
        return asyncio.get_running_loop().time() / len(self.finished) * (self.records - len(self.finished))

    async def _record(self) -> None:
        while True:
            seen = self.look()
            self.seen.append(
                (
                    asyncio.get_running_loop().time(),
                    {name: one.engines for name, one in seen.items()},
                    {name: one.running for name, one in seen.items()},
                )
            )
            await asyncio.sleep(20.0)


def simulated(given: tuple[int, tuple[Mix, Mix], tuple[int, int] | None]) -> tuple[float, list[Any]]:
    loop = VirtualTime()
    asyncio.set_event_loop(loop)
    run = SimulatedRun(*given)
    try:
        return loop.run_until_complete(run.go()), run.seen
    finally:
        loop.close()


def compared(name: str, mixes: tuple[Mix, Mix], records: int, processes: ProcessPoolExecutor) -> dict[str, Any]:
    gpus = sum(NODES.values())
    divisions = [(count, int(gpus - count * GPUS["main"])) for count in range(15, 5, -1)]
    tries: list[Any] = [None, *divisions]
    times = dict(zip(tries, processes.map(simulated, [(records, mixes, one) for one in tries]), strict=True))
    best = min(divisions, key=lambda one: times[one][0])
    print(name)
    for division in divisions:
        mark = "  the best" if division == best else ""
        print(f"  fixed  {division[0]:3} x 70B  {division[1]:3} x 8B  {times[division][0]:9,.0f} s{mark}")
    seconds, seen = times[None]
    ratio = seconds / times[best][0]
    print(f"  auto                     {seconds:9,.0f} s  ratio {ratio:.3f}", flush=True)
    return {
        "fixed": [[*division, round(times[division][0])] for division in divisions],
        "auto_s": round(seconds),
        "ratio": round(ratio, 3),
        "seen": [[round(when), *engines.values(), *running.values()] for when, engines, running in seen],
    }


def drawn(result: dict[str, Any], path: Path) -> None:
    """Engines of both models over time, and under them how full their batches are, for each scenario."""
    import matplotlib.pyplot as plt

    scenarios = result["scenarios"]
    figure, axes = plt.subplots(2, len(scenarios), figsize=(4.2 * len(scenarios), 5), sharex="col", squeeze=False)
    for (name, one), (above, below) in zip(scenarios.items(), axes.T, strict=True):
        hours = [row[0] / 3600 for row in one["seen"]]
        for place, (model, size) in enumerate({"main": "70B", "judge": "8B"}.items()):
            engines = [row[1 + place] for row in one["seen"]]
            running = [row[3 + place] for row in one["seen"]]
            fill = [100 * busy / max(1, AT_ONCE * count) for busy, count in zip(running, engines, strict=True)]
            above.step(hours, [GPUS[model] * count for count in engines], where="post", label=size)
            below.plot(hours, fill, linewidth=1, label=size)
        above.set_title(f"{name}\n{one['ratio']:.3f} of the best fixed division's time", fontsize=9)
        below.set_xlabel("hours")
    axes[0][0].set_ylabel("GPUs")
    axes[1][0].set_ylabel("batch filled, %")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "autoscaling.json")
    parser.add_argument("--plot", type=Path, default=Path(__file__).parent / "results" / "autoscaling.png")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    with ProcessPoolExecutor(given.processes) as processes:
        scenarios = {name: compared(name, one, given.records, processes) for name, one in SCENARIOS.items()}
    result = {"machine": processor(), "records": given.records, "at_once": AT_ONCE, "scenarios": scenarios}
    given.json.write_text(json.dumps(result) + "\n")
    drawn(result, given.plot)
    return 0 if all(scenario["ratio"] <= GOAL for scenario in scenarios.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
