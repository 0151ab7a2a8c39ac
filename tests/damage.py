"""What the damage tests and the damage benchmark are made of: whole runs, with their workers in this process and an
engine that makes up words; run folders in every state, damages to their files, and what must come of it.

A command line is composed once, which is most of what a short run takes; each run begins with its plain configuration.
"""

import asyncio
import contextlib
import io
import logging
import os
import random
import re
import shutil
import signal
import sys
import zlib
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from unittest.mock import patch

import pyarrow as pa
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as component

from synth import export, generation, inspect, job, merge
from synth.configuration.parsing import parse
from synth.engines import Answer, Placement
from synth.engines.simulated import Simulated
from synth.errors import ConfigError
from synth.exit_codes import BAD_INPUT
from synth.report import __main__ as report
from synth.run import main
from synth.schedule import dedup_processes
from synth.schedule import worker as worker_module
from synth.schedule.capacity import Capacity
from synth.schedule.worker import Worker
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder

VERBS = "Name Find List Sort Count Explain Describe Compare Rank Rewrite Sing Paint".split()
THINGS = "tall trees,old songs,red boats,wild bees,cold lakes,long roads,small towns,new words,warm days".split(",")
TASKS, VERDICT, INSTANCES = 301, 8, 302  # max_tokens by which the made-up engine knows what it is asked for


@component(kw_only=True, config=ConfigDict(extra="forbid"))
class MadeUp(Simulated):
    """Answers that a prompt and a seed decide, some of them alike. At the `at`-th call of a run `then` is called; where
    that stops the run, nothing is answered from there on, so that the run is not over before it is stopped."""

    calls = 0
    at = 10**9
    salt = 0
    then = staticmethod(lambda: None)

    async def generate(self, prompt, sampling):
        cls = MadeUp
        cls.calls += 1
        if cls.calls == cls.at:
            cls.then()
        if cls.calls >= cls.at and cls.then is stop:
            await asyncio.sleep(3600)
        rng = random.Random(zlib.crc32(repr((list(prompt), sampling.seed, self.salt)).encode()))
        await asyncio.sleep(0)
        if sampling.max_tokens == TASKS:
            tasks = [f"{n}. {rng.choice(VERBS)} {rng.choice(THINGS)} for {rng.choice(THINGS)}." for n in range(1, 4)]
            # What was shown leaves its mark on what is made: were the examples others, so would be the dataset.
            text = "\n".join([*tasks, f"4. Explain x{rng.getrandbits(40):x} to some {rng.choice(THINGS)}."])
        elif sampling.max_tokens == VERDICT:
            text = "No"
        elif sampling.max_tokens == INSTANCES:
            text = f"Input: (none)\nOutput: {rng.choice(THINGS)}"
        else:
            text = f"{rng.choice(VERBS)} {rng.choice(THINGS[:4])}."
        return Answer([0] * len(text.split()), "stop", len(prompt), text=text)


FEW = [
    "engine=simulated",
    "engine._target_=tests.damage.MadeUp",
    "cluster.records_in_flight=6",
    "checkpoint_calls=true",
]
POOLED = [
    "+strategy=self_instruct",
    "strategy.tasks.pool_lag=8",
    f"strategy.tasks.sampling.max_tokens={TASKS}",
    f"strategy.instances.sampling.max_tokens={INSTANCES}",
    "num_records=40",
    "shard_size=4",
]
DUPLICATES = [
    "+strategy=magpie",
    "+strategy.once._target_=synth.quality.exact_duplicate.ExactDuplicate",
    "+strategy.near._target_=synth.quality.near_duplicate.NearDuplicate",
    "strategy.steps=[${strategy.magpie},${strategy.once},${strategy.near}]",
    "num_records=24",
    "min_yield=0.01",
    "shard_size=6",
]
FAN_OUT = ["+strategy=text_generation", "strategy.text_generation.samples=3", "num_records=50", "shard_size=4"]
PLAIN = ["+strategy=magpie", "num_records=40", "shard_size=5"]
RUNS = {"pool": POOLED, "duplicates": DUPLICATES, "fan_out": FAN_OUT, "slices": PLAIN}
STATES = ("killed", "stopped", "finished")


class InProcess:
    """A WorkerHandle whose worker runs here."""

    def __init__(self, config, run_dir, fingerprint, index, placement, pool, claims, earlier, code, pools, node):
        worker = Worker(config, run_dir, fingerprint, pool, claims, earlier)
        self.start, self.run, self.wants_work, self.poll = worker.start, worker.run, worker.wants_work, worker.poll
        self.probe, self.counters, self.stop, self.kill = worker.probe, worker.counters, worker.stop, worker.stop


class Shared:
    """What SharedProcess is to a run, in this process."""

    def __init__(self, name, kind, *arguments, calls, anywhere=False):
        self._it = kind(*arguments)

    def __getattr__(self, method):
        return getattr(self._it, method)

    def kill(self):
        """There is no process."""


@contextlib.asynccontextmanager
async def _connected(cluster, engine, others):
    yield Capacity(1, Placement(cpus=0), on_gpu=False, machines=1)


@contextlib.contextmanager
def without_ray():
    """Runs have one worker, in this process, and sync their journals all the time."""
    with ExitStack() as patches:
        for module, name, here in (
            (generation, "connected", _connected),
            (generation, "RayWorker", InProcess),
            (generation, "SharedProcess", Shared),
            (dedup_processes, "SharedProcess", Shared),
            (generation, "until_lost", lambda: asyncio.Event().wait()),
            (worker_module, "JOURNAL_INTERVAL_S", 0.005),
        ):
            patches.enter_context(patch.object(module, name, here))
        yield


@dataclass
class Outcome:
    code: int
    out: str
    err: str


def run(call, given):
    """What comes of a command: run(merge.main, ["runs/a"])."""
    out, err = io.StringIO(), io.StringIO()
    warnings = logging.StreamHandler(err)
    logging.getLogger().addHandler(warnings)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = call(given)
        except SystemExit as end:
            code = end.code
        except BaseException as error:  # which a shell would show as a traceback
            import traceback

            code = 1
            err.write("".join(traceback.format_exception(error)))
        finally:
            logging.getLogger().removeHandler(warnings)
    return Outcome(code, out.getvalue(), err.getvalue())


def stop():
    signal.raise_signal(signal.SIGTERM)


class Case:
    """One kind of run: the folders that it leaves, in all states, and the dataset that it ends with."""

    def __init__(self, kind, root, seed=0):
        self.kind, self.root = kind, root / f"{kind}-{seed}"
        self.words = [*RUNS[kind], *FEW, f"seed={seed}"]
        if kind == "fan_out":
            source = root / "seeds.jsonl"
            lines = [f'{{"instruction": "Say {number}: {THINGS[number % 9]}"}}\n' for number in range(30)]
            source.write_text("".join([*lines[:9], "no JSON\n", *lines[9:]]))
            self.words += ["source=file", f"source.path={source}", "source.bad_rows=set_aside"]
        found = []
        assert main(self.words, work=lambda config: found.append(config.resolved) or 0) == 0
        [self.resolved] = found
        self.calls = 0

    def command(self, folder, at=10**9, then=lambda: None, **more):
        """What comes of the command, with another output_dir. At the `at`-th call of its engine `then` is called."""

        def go(given):
            try:
                return job.run(parse(given))
            except ConfigError as error:
                print(f"error: {error}", file=sys.stderr)
                return BAD_INPUT

        MadeUp.calls, MadeUp.at, MadeUp.then = 0, at, staticmethod(then)
        return run(go, self.resolved | {"output_dir": str(folder)} | more)

    def make(self):
        """The folders of all states, and `rows`, what the undisturbed run gives."""
        finished = self.root / "finished"
        self._ended(self.command(finished), 0)
        self.rows, self.calls = rows_in(finished), MadeUp.calls
        half = self.calls * 2 // 3
        live, killed, stopped = (self.root / name for name in ("live", "killed", "stopped"))
        copy = lambda: copy_folder(live, killed)  # noqa: E731
        self._ended(self.command(live, half, copy), 0)
        self._ended(self.command(stopped, half, stop), 75)
        assert killed.exists()
        shutil.rmtree(live)
        self.states = [killed, stopped, finished]
        if self.kind == "slices":
            self._make_slices()
        return self

    @cached_property
    def with_calls(self):
        """A run that was stopped where unfinished records had been answered something: which call that is, is up to the
        machine."""
        if self.calls_in(self.states[1]):
            return self.states[1]
        for at in range(self.calls * 2 // 3, self.calls // 3, -1):
            folder = self.root / f"stopped-{at}"
            self._ended(self.command(folder, at, stop), 75)
            if self.calls_in(folder):
                return folder
        raise AssertionError("no stop leaves calls behind")

    def calls_in(self, folder):
        return sorted(RunFolder(folder).shards.glob("*.calls.arrow"))

    def _make_slices(self):
        sliced, taken_over = self.root / "sliced", self.root / "taken_over"
        self._ended(self.command(sliced, slice="0/2"), 0)
        self._ended(self.command(sliced, 25, stop, slice="1/2"), 75)
        copy_folder(sliced, taken_over)
        self._ended(self.command(taken_over, 10, stop), 75)
        self.states += [sliced, taken_over]

    def _ended(self, outcome, code):
        assert outcome.code == code, outcome

    def check(self, folder, damaged, how):
        """What is wrong with what the same command makes of a damaged folder; empty if nothing is."""
        before = committed_in(folder)
        outcome = self.command(folder)
        wrong = bad_lines(outcome)
        if outcome.code == 0:
            if (found := rows_in(folder)) != self.rows:
                wrong.append(f"another dataset: {len(found)} rows, {differing(found, self.rows)}")
            wrong += wrong_counts(folder, outcome.out)
            if how == "deleted" and damaged in before and damaged.name not in outcome.err:
                wrong.append("nothing is said of a lost file")
        elif damaged.name not in outcome.err:
            wrong.append("the file is not named")
        return [*wrong, *([outcome.out, outcome.err] if wrong else [])], outcome


def bad_lines(outcome):
    """Tracebacks, and refusals in more than a line."""
    wrong = ["a traceback"] if "Traceback" in outcome.err else []
    if outcome.code == 2 and sum(line.startswith("error: ") for line in outcome.err.splitlines()) != 1:
        wrong.append("no single line of error")
    return wrong


def differing(found, expected):
    return Counter(one == other for one, other in zip(found, expected, strict=False))[False]


def rows_in(folder):
    """The rows of a dataset, by its own description of itself."""
    from datasets import load_from_disk

    return load_from_disk(str(folder / "dataset")).to_list() if (folder / "dataset").exists() else []


def table(path):
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()


def committed_in(folder):
    """The files of committed shards, of whose loss something has to be said."""
    with contextlib.suppress(Exception):
        run = RunFolder(folder)
        there = [summary.index for summary in Manifest.read(run).summaries]
        return {path for index in there for path in (run.shard(index), run.rejected(index))}
    return set()


def wrong_counts(folder, out):
    """Of a finished run: what it says, its manifest and its notes against the rows that there are."""
    run, wrong = RunFolder(folder), []
    manifest = Manifest.read(run)
    for summary in manifest.summaries:
        there = (len(table(run.shard(summary.index))), len(table(run.rejected(summary.index))))
        if there != (summary.kept, summary.rejected):
            wrong.append(f"shard {summary.index} has {there} rows, and tells of {summary.kept}, {summary.rejected}")
    said = re.search(r"([\d,]+) (?:records|rows) kept(?: \([^)]*\))?, ([\d,]+) rejected", out)
    counted = (len(rows_in(folder)), sum(summary.rejected for summary in manifest.summaries))
    if tuple(int(group.replace(",", "")) for group in said.groups()) != counted:
        wrong.append(f"said {said[0]}, there are {counted}")
    return wrong


class Readers:
    """What merge, inspect, report and export make of a folder before it is damaged, and of damaged copies of it."""

    # Lines of inspect that metrics.jsonl decides, and what is in journals, whose tail may be torn at any time.
    _MEASURED = ("on disk", "pace", "held", "shards")

    def __init__(self, folder, output):
        self._before = self.all(folder, output)

    def check(self, folder, damaged, output):
        """What is wrong with what they say of a damaged copy."""
        wrong = []
        for name, (outcome, result) in self.all(folder, output).items():
            before, expected = self._before[name]
            bad = bad_lines(outcome)
            bad += [f"exit code {outcome.code}"] if outcome.code not in (0, 2) else []
            # A journal's tail may be torn at any time, and what it had is not finished then: inspect counts what is.
            is_known = damaged.name in outcome.err or (name == "inspect" and "journal" in damaged.name)
            if outcome.code == 0 == before.code and result != expected and not is_known:
                bad.append(f"tells of {result} in place of {expected}")
            wrong += [f"{name}: {what}: {outcome}" for what in bad]
        return wrong

    def all(self, folder, output):
        merged, exported = run(merge.main, [str(folder), "--output-dir", str(output)]), None
        inspected = run(inspect.main, [str(folder)])
        reported = run(report.main, [str(folder), "--output", f"{output}.html"])
        exported = run(export.main, [str(folder), "--output-dir", f"{output}-parquet"])
        lines = inspected.out.replace(str(folder), "").splitlines()
        return {
            "merge": (merged, rows_in(output)),
            "inspect": (inspected, [line for line in lines if not line.strip().startswith(self._MEASURED)]),
            "report": (reported, None),
            "export": (exported, exported.out.partition(" rows")[0]),
        }


# Damages: each changes a file, and says how.


def flip(path, rng, donors):
    """One bit."""
    data = path.read_bytes()
    place = rng.randrange(len(data))
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([data[place] ^ 1 << rng.randrange(8)]))
    return "flipped"


def scribble(path, rng, donors):
    """One byte."""
    size = path.stat().st_size
    place = rng.randrange(size)
    before = path.read_bytes()[place]
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([(before + rng.randrange(1, 256)) % 256]))
    return "scribbled"


def cut(path, rng, donors):
    os.truncate(path, rng.randrange(path.stat().st_size))
    return "cut"


def empty(path, rng, donors):
    os.truncate(path, 0)
    return "emptied"


def delete(path, rng, donors):
    path.unlink()
    return "deleted"


def replace(path, rng, donors):
    """By a file of the same name in another run, or of another shard."""
    others = [donor for donor in donors if donor.is_file() and donor.read_bytes() != path.read_bytes()]
    if not others:
        return flip(path, rng, donors)
    other = rng.choice(sorted(others))
    path.unlink()
    shutil.copyfile(other, path)
    return f"replaced by {other.parts[-4:]}"


DAMAGES = (flip, scribble, cut, empty, delete, replace)


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def weights(files, folder):
    """Files of every kind are damaged equally often, however many there are of one kind."""
    kinds = [re.sub(r"\d+", "N", str(path.relative_to(folder))) for path in files]
    counts = Counter(kinds)
    return [1 / counts[kind] for kind in kinds]


def damage(folder, rng, others):
    """Damages one file of a folder. `others` are run folders of others in any state. Returns the file and how."""
    files = files_of(folder)
    [path] = rng.choices(files, weights(files, folder))
    relative = path.relative_to(folder)
    kind = re.sub(r"\d+", "N", path.name)
    siblings = [one for one in path.parent.iterdir() if one != path and re.sub(r"\d+", "N", one.name) == kind]
    how = rng.choice(DAMAGES)
    return path, how(path, rng, siblings + [other / relative for other in others])


def copy_folder(folder, target):
    """With hard links as they are among its files, so that what damages a shard damages the dataset too."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        to = target / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            status = path.lstat()
            if path.is_dir():
                to.mkdir(exist_ok=True)
            elif (first := seen.setdefault((status.st_dev, status.st_ino), to)) is not to:
                os.link(first, to)
            else:
                shutil.copy2(path, to)
        except FileNotFoundError:
            continue  # a run goes on in there
