"""Whole runs on a real Ray cluster of several nodes, with processes killed at random: the dataset is the one that an
undisturbed run gives. benchmarks/faults.py does the same a thousand times.

Kills are SIGKILL: nobody can prepare for them. Their times are drawn from a seed.
"""

import contextlib
import os
import random
import re
import signal
import time

import psutil
import pytest

from synth.records import derive_seed
from tests.faults import Job, Nodes
from tests.stage import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.faults]

RECORDS, SHARD = 160, 20
ENGINE = ["engine=simulated", "engine.tokens_per_second=200", "engine.median_tokens=40", "engine.max_num_seqs=8"]


@pytest.fixture(scope="module")
def nodes():
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            patch.delenv(name)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        nodes = Nodes(2)
        yield nodes
        nodes.shutdown()


@pytest.fixture(scope="module")
def job():
    """Starts jobs, and ends them with the tests."""
    jobs = []

    def job(folder, *overrides, engine="TwoProcesses", shard_size=SHARD, staged=False):
        given = [*ENGINE, f"engine._target_=tests.fault_engines.{engine}", f"num_records={RECORDS}", *overrides]
        jobs.append(Job(folder / "run", shard_size, *given, staged=staged))
        return jobs[-1]

    yield job
    for one in jobs:
        one.kill()


@pytest.fixture(scope="module")
def undisturbed(nodes, job, tmp_path_factory):
    """The rows of a run that nothing happened to."""
    rows = job(tmp_path_factory.mktemp("undisturbed"), f"cluster.address={nodes.address}").finish()
    assert [row["id"] for row in rows] == [str(number) for number in range(RECORDS)]
    return rows


def test_workers_cores_the_driver_and_a_node_are_killed_and_the_dataset_is_the_same(nodes, job, undisturbed, tmp_path):
    rng = random.Random(0)
    run = job(tmp_path, f"cluster.address={nodes.address}", "engine.tokens_per_second=40", staged=True)
    for victim in ("worker", "core", "node", "driver", "stop"):
        run.until(run.engines)
        time.sleep(rng.uniform(0, 1))
        if victim == "worker":
            os.kill(rng.choice(run.engines())["pid"], signal.SIGKILL)
            run.until(lambda: "its process ended" in run.output)
        elif victim == "core":
            os.kill(rng.choice(run.engines())["core"], signal.SIGKILL)
            run.until(lambda: re.search(r"core (died|is dead)", run.output))
        elif victim == "node":
            nodes.kill(rng)
            nodes.add()
        elif victim == "driver":
            run.kill()
            run.start()
        else:
            assert_stops(run, signal.SIGUSR1)
            run.start()
    run.go_on()
    assert run.finish() == undisturbed


def assert_stops(run, number):
    """The signal ends the job with 75."""
    run.process.send_signal(number)
    assert run.process.wait(60) == 75, run.output
    assert f"stopped by {number.name}" in run.output


LONG = [
    "+strategy.sample._target_=synth.steps.sample.Sample",
    "+strategy.sample.n=6",
    "strategy.steps=[${strategy.magpie},${strategy.sample}]",
    "num_records=16",
]


def test_what_records_were_answered_outlives_their_worker_and_the_driver_and_no_call_is_answered_twice(job, tmp_path):
    (tmp_path / "undisturbed").mkdir()
    expected = job(tmp_path / "undisturbed", *LONG, "checkpoint_calls=false").finish()
    ledger = tmp_path / "ledger"
    run = job(tmp_path, *LONG, "checkpoint_calls=true", f"+engine.ledger={ledger}", "+engine.answers=11", staged=True)
    run.until(lambda: len(answered(ledger)) == 11)
    time.sleep(5)  # what is answered is on disk after two
    os.kill(run.engines()[0]["pid"], signal.SIGKILL)
    run.until(lambda: len(answered(ledger)) == 22)
    time.sleep(5)
    run.kill()
    run.start()
    run.go_on()
    assert run.finish() == expected
    assert len(answered(ledger)) == len(set(answered(ledger)))


def answered(ledger):
    """The seeds of all answers."""
    return [line.split()[1] for line in ledger.read_text().splitlines()] if ledger.exists() else []


def test_a_node_that_joins_is_used_and_one_that_dies_is_no_failure(nodes, job, undisturbed, tmp_path):
    while len(nodes) > 1:
        nodes.kill(random.Random(0))
    run = job(tmp_path, f"cluster.address={nodes.address}", staged=True)
    run.until(lambda: run.written)
    assert len(run.started()) == 1
    nodes.add()
    run.until(lambda: len(run.started()) == 2)
    nodes.kill(random.Random(1))
    run.go_on()
    assert run.finish() == undisturbed
    assert "failure" not in run.output


def test_a_record_that_kills_its_worker_is_set_aside_and_no_other(nodes, job, undisturbed, tmp_path):
    while len(nodes) < 2:
        nodes.add()
    poison = derive_seed(0, "13", "magpie", 0)
    run = job(
        tmp_path,
        f"cluster.address={nodes.address}",
        "num_records=16",
        f"+engine.seeds=[{poison}]",
        engine="Poisoned",
        shard_size=2,
    )
    run.finish()
    [rejected] = run.rows("rejected")
    assert (rejected["id"], rejected["reason"], rejected["rejected_by"]) == ("13", "poison", "engine")
    assert "its process ended" in rejected["detail"]
    kept = run.rows("kept")
    assert kept == [row for row in undisturbed if row["id"] != "13"][: len(kept)]


def test_sigterm_stops_a_run_and_a_driver_that_is_killed_leaves_nothing_behind(job, tmp_path):
    run = job(tmp_path, staged=True)
    run.until(lambda: run.written)
    assert_stops(run, signal.SIGTERM)
    assert run.written

    run.start()
    run.until(run.started)
    family = psutil.Process(run.process.pid).children(recursive=True)
    [folder] = {found for one in family for found in re.findall("/tmp/synth-[^/]+", command(one))}
    assert os.path.exists(folder)
    [engine] = run.started()
    assert {engine["pid"], engine["core"]} <= {process.pid for process in family}
    run.kill()
    end = time.monotonic() + 300
    while os.path.exists(folder) or any(is_alive(process.pid) for process in family):
        assert time.monotonic() < end, [process for process in family if is_alive(process.pid)]
        time.sleep(0.05)


def command(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
