"""Whole runs on real Ray with a step against duplicates: the dataset is that of one pass over all records in order."""

import os
import signal

import psutil
import pytest
from datasets import load_from_disk

from synth.records import derive_seed
from synth.run import main
from tests.faults import Job
from tests.stage import records_on_disk

# Instructions of one word of sixteen or two: more than half of them come again.
REPEATING = ["engine=simulated", "engine.tokens_per_second=40", "engine.median_tokens=1", "engine.sigma=0.6"]
CHAIN = [
    "strategy.magpie.only_instruction=true",
    "+strategy.repeated={_target_: synth.quality.exact_duplicate.ExactDuplicate}",
    "+strategy.respond={_target_: synth.steps.respond.Respond}",
]
STEPS = "strategy.steps=['${strategy.magpie}','${strategy.respond}']"
AGAINST = "strategy.steps=['${strategy.magpie}','${strategy.repeated}','${strategy.respond}']"
WANTED = 30


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The rows of a run without that step."""
    folder = tmp_path_factory.mktemp("everything")
    words = [*REPEATING, *CHAIN, STEPS, f"num_records={8 * WANTED}", f"output_dir={folder}"]
    assert main(["+strategy=magpie", *words]) == 0
    return load_from_disk(str(folder / "dataset")).to_list()


@pytest.fixture(scope="module")
def in_order(everything):
    """What one pass over them leaves."""
    there, kept = set(), []
    for row in everything:
        if row["instruction"] not in there:
            kept.append(row)
        there.add(row["instruction"])
    assert len(kept) > WANTED
    return kept[:WANTED]


@pytest.fixture
def job(tmp_path, everything):
    """Starts a run that one of the first records holds up, whose instruction comes again: in `run.again`."""
    asked = [row["instruction"] for row in everything[:WANTED]]
    first = next(number for number, words in enumerate(asked) if words in asked[number + 1 :])
    seed = derive_seed(0, str(first), "magpie", 0)
    jobs = []

    def job(shard_size, *overrides):
        slow = ["engine._target_=tests.fault_engines.HeldUp", f"+engine.seeds=[{seed}]"]
        given = [*REPEATING, *slow, *CHAIN, AGAINST, f"num_records={WANTED}", *overrides]
        jobs.append(Job(tmp_path / "run", shard_size, *given, staged=True))
        jobs[-1].again = asked.index(asked[first], first + 1)
        return jobs[-1]

    yield job
    for one in jobs:
        one.kill()


def children(run):
    return psutil.Process(run.process.pid).children(recursive=True)


def ended(run):
    """The rows that the step ended at once, and those of shards that were finished before it could tell."""
    rows = [row for row in run.rows("rejected") if row["rejected_by"] == "repeated"]
    return [row for row in rows if row["response"] is None], [row for row in rows if row["response"] is not None]


@pytest.mark.parametrize(("replicas", "shard_size", "processes"), [(1, 100, 1), (3, 7, 1), (3, 7, 3)])
def test_a_run_keeps_what_one_pass_in_order_keeps(job, in_order, replicas, shard_size, processes):
    run = job(shard_size, f"cluster.replicas={replicas}", f"cluster.claim_processes={processes}")
    run.until(lambda: run.again in records_on_disk(run.folder))
    run.go_on()
    assert run.finish() == in_order
    early, late = ended(run)
    assert early and late


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("processes", [1, 2])
def test_kills_of_workers_and_of_the_driver_change_nothing(job, in_order, processes):
    run = job(5, "cluster.replicas=2", f"cluster.claim_processes={processes}")
    run.until(lambda: run.again in records_on_disk(run.folder))
    for victim in ("worker", "driver", "worker"):
        run.until(run.engines)
        if victim == "worker":
            os.kill(run.engines()[0]["pid"], signal.SIGKILL)
            run.until(lambda: "its process ended" in run.output)
        else:
            run.kill()
            run.start()
    run.go_on()
    assert run.finish() == in_order
    early, late = ended(run)
    assert early and late


@pytest.mark.slow
@pytest.mark.faults
def test_a_run_whose_finished_shards_wait_stops_at_a_signal(job):
    run = job(5)
    run.until(lambda: run.written >= WANTED // 2)
    assert not list((run.folder / "shards").glob("[0-9]*.json"))
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(60) == 75, run.output


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize(("processes", "name"), [(1, "ray::KeyFinalizer"), (2, "ray::Part")])
def test_the_end_of_the_claims_is_the_runs_and_the_next_one_goes_on(job, in_order, processes, name):
    run = job(5, f"cluster.claim_processes={processes}")
    run.until(lambda: run.written)  # so there have been claims
    next(child for child in children(run) if child.name().startswith(name)).kill()
    assert run.process.wait(300) == 1
    assert "failed: dedup keys: its process ended; run again to resume" in run.output
    run.start()
    run.go_on()
    assert run.finish() == in_order
