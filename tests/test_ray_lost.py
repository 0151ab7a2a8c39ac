"""Ray itself is lost, and not a worker: the run ends in bounded time, with one line, and what is finished stays."""

import os
import signal

import psutil
import pytest

from tests.faults import Job, Nodes

pytestmark = pytest.mark.slow

ENGINE = ["engine=simulated", "engine.tokens_per_second=200", "engine.median_tokens=40", "engine.max_num_seqs=8"]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Starts a job of far more records than are waited for."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    jobs = []

    def job(*overrides):
        jobs.append(Job(tmp_path / "run", 20, *ENGINE, "num_records=100000", *overrides))
        jobs[-1].until(lambda: jobs[-1].written)
        assert not jobs[-1].over, jobs[-1].output
        return jobs[-1]

    yield job
    for one in jobs:
        one.kill()


def ends_with_one_line(run, line, seconds):
    """The lines but for those of the display, after the end of the job."""
    safe = run.written
    assert run.process.wait(seconds) == 1, run.output
    display = ("starting", "loading", "kept", "making", "writing", "cluster:")
    said = [line for line in run.output.splitlines() if not line.startswith(display)]
    assert [one for one in said if "failed: " in one] == [f"failed: {line}"]
    assert said[-1].startswith("finished records are safe in")
    assert "Traceback" not in run.output
    assert run.written >= safe


def process_of(run, name):
    return next(child for child in psutil.Process(run.process.pid).children(recursive=True) if child.name() == name)


def test_a_run_whose_own_raylet_is_killed_ends_within_30_seconds(job):
    run = job()
    family = psutil.Process(run.process.pid).children(recursive=True)
    process_of(run, "raylet").kill()
    ends_with_one_line(run, "Ray's raylet on this machine ended", 30)
    assert not [one for one in psutil.wait_procs(family, 5)[1] if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.faults
def test_a_run_whose_own_gcs_server_is_killed_ends_within_30_seconds(job):
    run = job()
    process_of(run, "gcs_server").kill()
    ends_with_one_line(run, "Ray's gcs_server on this machine ended", 30)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_a_run_on_a_cluster_ends_in_bounded_time_when_its_head_goes(job, name):
    nodes = Nodes(2)
    try:
        run = job(f"cluster.address={nodes.address}")
        os.kill(nodes.head_process(name), signal.SIGKILL)
        lines = {"gcs_server": "Ray's head node is gone: no answer for 20 s"}
        ends_with_one_line(run, lines.get(name, "this machine is no longer a node of the Ray cluster"), 60)
    finally:
        nodes.shutdown()
