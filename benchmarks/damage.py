"""Nothing damaged is taken for whole: random damages to files of run folders, and what the same command makes of them.

    python benchmarks/damage.py --damages 1000
    python benchmarks/damage.py --first 417 --damages 1

Each damage takes a copy of a run's folder and one file in it: a bit or a byte of it changes, it is cut, emptied or
deleted, or replaced by the file of that name of another run or another shard. Then the same command runs again. It has
to end with the rows of the undisturbed run, or with a line that names the file; what it says and what its manifest
tells has to be what there is. At every fifth damage merge, inspect, report and export read the damaged folder before.

Runs have a pool, or duplicates, or a source and three records of each row, or are in slices. They were killed, stopped
or finished, and slices were taken over by a single job. Workers run in this process, on an engine that makes up words,
in place of Ray's: what reads and writes the folder is all there.
"""

import argparse
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.damage import RUNS, Case, Readers, copy_folder, damage, without_ray

READ = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one, to repeat one alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("damage.json"))
    given = parser.parse_args()
    started, done = time.monotonic(), []
    numbers = range(given.first, given.first + given.damages)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.processes, spawn, _prepare, (given.seed,)) as processes:
        for one in processes.map(_damage, numbers):
            done.append(one)
            if one["wrong"]:
                print(json.dumps(one, indent=2), flush=True)
            if len(done) % 100 == 0:
                print(f"{time.monotonic() - started:6.0f} s  {len(done)} damages", file=sys.stderr, flush=True)
    figures = told(done)
    for name, counts in figures.items():
        print(f"{name:10} {counts}")
    seconds = round(time.monotonic() - started)
    print(f"{len(done)} damages, {sum(bool(one['wrong']) for one in done)} wrong, in {seconds} s")
    given.json.write_text(json.dumps({"seed": given.seed, "duration_s": seconds} | figures, indent=2) + "\n")
    return int(any(one["wrong"] for one in done))


def told(done: list[dict]) -> dict:
    names = ("run", "state", "file", "damage", "end")
    counts = {name: dict(Counter(one[name] for one in done).most_common()) for name in names}
    return counts | {"wrong": sum(bool(one["wrong"]) for one in done)}


def _prepare(seed: int) -> None:
    """All folders of all runs, once in each process, and those of another seed to take files from."""
    global _seed, _root, _cases, _others, _readers
    _seed, _root = seed, Path(tempfile.mkdtemp(prefix="damage-"))
    with without_ray():
        _cases = {kind: Case(kind, _root).make() for kind in RUNS}
        _others = {kind: Case(kind, _root, seed=1).make().states for kind in RUNS}
    _readers = {}


def _damage(number: int) -> dict:
    rng = random.Random(f"{_seed} {number}")
    kind = list(RUNS)[number % len(RUNS)]
    case = _cases[kind]
    state = rng.choice(case.states)
    folder = _root / str(number)
    copy_folder(state, folder)
    others = [*_others[kind], *(one for one in case.states if one != state), *_cases[rng.choice([*RUNS])].states]
    path, how = damage(folder, rng, others)
    wrong: list[str] = []
    if number % READ == 0:
        if state not in _readers:
            _readers[state] = Readers(state, _root / f"read-{kind}-{state.name}")
        wrong += _readers[state].check(folder, path, _root / f"read-{number}")
    with without_ray():
        more, outcome = case.check(folder, path, how)
    wrong += more
    if not wrong:
        for one in (folder, _root / f"read-{number}", _root / f"read-{number}-parquet"):
            shutil.rmtree(one, ignore_errors=True)
    name = "".join("N" if one.isdigit() else one for one in str(path.relative_to(folder)))
    end = {0: "the same dataset", 1: "failed", 2: "refused"}.get(outcome.code, str(outcome.code))
    damage_ = how.split()[0]
    return {"number": number, "run": kind, "state": state.name, "file": name.replace("NNNNN", "N"), "damage": damage_,
            "end": end, "wrong": wrong, "folder": str(folder), "how": how}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
