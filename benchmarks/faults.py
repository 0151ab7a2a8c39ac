"""Nothing lost, nothing doubled: kills at random times on a real Ray cluster, and what became of the records.

    python benchmarks/faults.py --kills 1000
    python benchmarks/faults.py --engine vllm --kills 20
    python benchmarks/faults.py --engine long --kills 20 checkpoint_calls=true continue_answers=true

Runs follow each other until there were so many kills, all by SIGKILL: a worker's process, the process of an engine's
core, the driver, or all processes of a node at once, at moments drawn from the seed. Kills come in bursts, so that they
hit processes that start, read journals and take shards over as well as those that work. A run's driver is started again
until it ends with 0. Then the run's records are compared with those of a run that nothing happened to.

`recovered` counts kills after which as many engines as before ran again, or the run came to its end; `seconds` is how
long that took, from the kill to running engines, with the start of all their processes on this machine and with what
later kills of the same burst delayed. The simulated engine's core is a process of its own that each answer passes
through; a dead node is noticed in 1.5 s, since the cluster looks after its nodes every 500 ms, where Ray's own default
is 12 to 14 s. Tokens made again are those of answers that were complete when their record was lost, of which the
simulated engine keeps a ledger: what a journal of each step, in place of each record, would save at the most. The
`long` engine's answers take up to ten seconds each, so that nearly all kills cut some; its ledger has their tokens.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.faults import Job, Nodes, cores

KINDS = ("worker", "core", "driver", "node")
ENGINES = {
    "simulated": [
        "engine=simulated",
        "engine._target_=tests.fault_engines.TwoProcesses",
        "engine.tokens_per_second=100",
        "engine.median_tokens=40",
        "engine.sigma=0.4",  # else the few longest records of a run meet kill after kill
        "engine.max_num_seqs=8",
    ],
    "long": [
        "engine=simulated",
        "engine._target_=tests.fault_engines.LongAnswers",
        "engine.tokens_per_second=100",
        "engine.max_num_seqs=8",
    ],
    "vllm": [
        "engine=vllm",
        "engine.max_num_seqs=16",
        "engine.max_num_batched_tokens=2048",
        "engine.kv_cache_gib=0.5",
        "model.dtype=float32",
    ],
}
RECORDS = {"simulated": 1000, "long": 40, "vllm": 400}
SHARD = {"simulated": 50, "long": 4, "vllm": 25}
NODES = {"simulated": 2, "long": 2, "vllm": 1}
PAUSE_S = {"simulated": 1.0, "long": 10.0, "vllm": 10.0}  # at the most, before a kill
# How often a kill is followed by another one before all engines run again.
MORE = {"simulated": 0.8, "long": 0.25, "vllm": 0.25}
MOST = 8  # kills of a burst
GIVE_UP_S = 900


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--engine", choices=ENGINES, default="simulated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("faults.json"))
    parser.add_argument("overrides", nargs="*", help="of all runs, as checkpoint_calls=true")
    arguments = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    bench = Bench(arguments.engine, arguments.seed, arguments.overrides)
    try:
        bench.run(arguments.kills)
    finally:
        bench.end()
        bench.show()
        arguments.json.write_text(json.dumps(bench.summary(arguments), indent=2) + "\n")
    return 0 if bench.clean else 1


class Bench:
    def __init__(self, engine: str, seed: int, overrides: Sequence[str]):
        self.engine, self.rng = engine, random.Random(seed)
        self.overrides = [*ENGINES[engine], *overrides]
        self.nodes = Nodes(NODES[engine])
        self.folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self.jobs: list[Job] = []
        self.kills: Counter[str] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.records: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.runs = self.restarts = 0
        self.started = time.monotonic()

    def run(self, kills: int) -> None:
        job = self.job("undisturbed")
        job.finish(1800)
        expected = self.rows(job)
        while self.kills.total() < kills:
            self.runs += 1
            job = self.job(f"run-{self.runs}")
            self.disturb(job, kills)
            while job.process.wait(1800):
                self.restarts += 1
                self.say(job, f"driver ended with {job.process.returncode}")
                if self.restarts > 10 * self.runs:
                    raise RuntimeError(job.output)
                job.start()
            self.compare(job, expected)

    def job(self, name: str) -> Job:
        overrides = [f"cluster.address={self.nodes.address}", f"num_records={RECORDS[self.engine]}"]
        if self.engine != "vllm":
            overrides.append(f"+engine.ledger={self.ledger(name)}")
        self.jobs.append(Job(self.folder / name, SHARD[self.engine], *overrides, *self.overrides))
        return self.jobs[-1]

    def ledger(self, name: str) -> Path:
        return self.folder / f"{name}.tokens"

    def end(self) -> None:
        for job in self.jobs:
            job.kill()
        self.nodes.shutdown()

    def disturb(self, job: Job, kills: int) -> None:
        """Kills until there were enough of them or the job is done."""
        pending: list[tuple[str, float]] = []
        while True:
            if not 0 < len(pending) < MOST or self.rng.random() > MORE[self.engine]:
                self.recovered(job, pending)
            time.sleep(self.rng.uniform(0, PAUSE_S[self.engine]))
            if job.over or self.kills.total() >= kills:
                self.recovered(job, pending)
                return
            kind = min(KINDS, key=lambda kind: (self.kills[kind], self.rng.random()))
            if self.kill(kind, job):
                self.kills[kind] += 1
                pending.append((kind, time.monotonic()))
                if self.kills.total() % 10 == 0:
                    self.say(job, f"{self.kills.total()} kills")

    def kill(self, kind: str, job: Job) -> bool:
        with contextlib.suppress(IndexError, ProcessLookupError):
            if kind == "driver":
                job.kill()
                job.start()
            elif kind == "node":
                self.nodes.kill(self.rng)
                self.nodes.add()
            elif kind == "worker":
                self.rng.choice(self.nodes.workers()).kill()
            else:
                self.rng.choice(cores(self.nodes.workers())).kill()
            return True
        return False  # there is none at the moment

    def recovered(self, job: Job, pending: list[tuple[str, float]]) -> None:
        """Waits until as many engines run as there are nodes, all of them of this job, or the job is done."""
        job.until(lambda: job.over or len(cores(self.nodes.workers())) >= len(self.nodes), GIVE_UP_S)
        for kind, killed in pending:
            self.seconds[kind].append(time.monotonic() - killed)
        pending.clear()

    def rows(self, job: Job) -> dict[str, dict]:
        """Kept and rejected rows by id."""
        found: dict[str, dict] = {}
        for row in job.rows("kept") + job.rows("rejected"):
            self.records["doubled"] += row["id"] in found
            found[row["id"]] = row
        return found

    def compare(self, job: Job, expected: dict[str, dict]) -> None:
        dataset, found = job.finish(), self.rows(job)
        ids = [row["id"] for row in dataset]
        whole = [id for id, row in expected.items() if "rejected_by" not in row][: RECORDS[self.engine]]
        self.records["compared"] += len(whole)
        self.records["lost"] += len(set(whole) - set(ids))
        self.records["doubled"] += len(ids) - len(set(ids))
        self.records["different"] += sum(row != expected.get(row["id"]) for row in dataset)
        self.records["set aside"] += sum(row.get("reason") == "poison" for row in found.values())
        self.tokens["answered"] += self.answered(job)
        self.tokens["in rows"] += sum(row["usage"]["completion_tokens"] for row in found.values())
        if not self.clean:
            self.say(job, f"records: {dict(self.records)}, see {job.folder}")

    def answered(self, job: Job) -> int:
        """Tokens of all answers in the ledger, those of lost records too; 0 where the engine keeps no ledger."""
        ledger = self.ledger(job.folder.name)
        return sum(int(line.split()[0]) for line in ledger.read_text().splitlines()) if ledger.exists() else 0

    @property
    def clean(self) -> bool:
        return not any(self.records[name] for name in ("lost", "doubled", "different", "set aside"))

    def say(self, job: Job, what: str) -> None:
        print(f"{time.monotonic() - self.started:6.0f} s  {job.folder.name}: {what}", file=sys.stderr, flush=True)

    def show(self) -> None:
        print("killed    kills  recovered  seconds: mean  median     max")
        for kind in KINDS:
            times = self.seconds[kind] or [float("nan")]
            figures = f"{statistics.mean(times):13.1f} {statistics.median(times):7.1f} {max(times):7.1f}"
            print(f"{kind:8} {self.kills[kind]:6} {len(self.seconds[kind]):10}  {figures}")
        print(f"all      {self.kills.total():6} {sum(map(len, self.seconds.values())):10}")
        counts = ", ".join(f"{self.records[name]:,} {name}" for name in ("lost", "doubled", "different", "set aside"))
        print(f"{self.records['compared']:,} records in {self.runs} runs compared: {counts}")
        if self.tokens["answered"]:
            again = self.tokens["answered"] - self.tokens["in rows"]
            print(
                f"{self.tokens['answered']:,} tokens{'' if self.engine == 'long' else ' in complete answers'}, "
                f"{again:,} of them made again: "
                f"{again / self.tokens['answered']:.1%}, {again / max(1, self.kills.total()):,.0f} a kill"
            )
        print(f"{time.monotonic() - self.started:.0f} s in all; drivers that ended with an error: {self.restarts}")

    def summary(self, arguments: argparse.Namespace) -> dict:
        return {
            "engine": self.engine,
            "overrides": arguments.overrides,
            "seed": arguments.seed,
            "kills": {kind: self.kills[kind] for kind in KINDS},
            "seconds": {kind: [round(one, 2) for one in self.seconds[kind]] for kind in KINDS},
            "records": dict(self.records),
            "tokens": dict(self.tokens),
            "runs": self.runs,
            "drivers_failed": self.restarts,
            "duration_s": round(time.monotonic() - self.started, 1),
        }


if __name__ == "__main__":
    sys.exit(main())
