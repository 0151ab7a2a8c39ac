"""The job scripts as a user submits them, to a real SLURM of one machine: real Ray nodes, simulated engines, and real
vLLM once."""

import re
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from datasets import load_from_disk

from synth.storage.journal import finished_numbers
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from tests.documents import ROOT, commands
from tests.slurm.machine import GPUS, Slurm, missing, wait_for

RECORDS = 200
ENGINE = ["engine=simulated", "engine.median_tokens=20", "engine.max_num_seqs=8", "shard_size=20"]
FAST, SLOW = "engine.tokens_per_second=400", "engine.tokens_per_second=20"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=f"SLURM is not installed (no {', '.join(missing())}): make test-slurm"),
]


@pytest.fixture(scope="module")
def slurm():
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets have short paths
    try:
        machine = Slurm(folder)
    except (OSError, TimeoutError) as error:
        told = "\n".join(path.read_text()[-500:] for path in folder.glob("*.out"))
        shutil.rmtree(folder)
        pytest.skip(f"SLURM does not start here: {error}\n{told}")
    yield machine
    machine.stop()
    shutil.rmtree(folder)


class Job:
    """A run as a job. `options` are sbatch's."""

    def __init__(self, slurm, script, folder, *overrides, options=()):
        self.slurm, self.folder = slurm, folder
        self.log = folder.parent / f"{folder.name}.log"
        script = f"slurm/{script}.sbatch"
        words = [*options, f"--output={self.log}", script, "+strategy=magpie", f"output_dir={folder}", *overrides]
        self.number = slurm.submit(*words, cwd=ROOT)

    @property
    def told(self):
        return self.log.read_text() if self.log.exists() else "nothing"

    @property
    def state(self):
        return self.slurm.job(self.number).get("JobState", "")

    @property
    def minutes(self):
        """Whole ones since it began to run."""
        hours, minutes, _ = self.slurm.job(self.number)["RunTime"].split(":")
        return 60 * int(hours) + int(minutes)

    @property
    def written(self):
        """Records on disk: in journals, and in committed shards as the manifest tells of them. For a moment in both."""
        run = RunFolder(self.folder)
        numbers = {number for path in run.shards.glob("*.journal.arrow") for number in finished_numbers(path)}
        for one in Manifest.read(run).summaries if run.manifest.exists() else []:
            numbers.update(range(one.start, one.stop))
        return len(numbers)

    def workers(self, node):
        """The engines' processes on a node."""
        return self.slurm.processes(self.number, node, "ray::WorkerProcess")

    def until(self, condition, seconds=120):
        try:
            wait_for(lambda: condition() or self.state in ENDED, seconds)
        except TimeoutError:
            pytest.fail(f"{self.slurm.job(self.number)}\n{self.told}")
        assert condition(), self.told

    def end(self, seconds=180):
        """What SLURM says of how it ended."""
        self.until(lambda: self.state in ENDED, seconds)
        job = self.slurm.job(self.number)
        return job["JobState"], job["ExitCode"]

    def rows(self):
        return load_from_disk(str(self.folder / "dataset")).to_list()

    @property
    def token(self):
        return ROOT / f".ray-token-{self.number}"

    def leaves_nothing_behind(self):
        wait_for(lambda: not self.slurm.processes(self.number), 60)
        assert not self.token.exists()
        assert not list(Path("/tmp").glob(f"ray-{self.number}-*"))
        return True


@pytest.fixture(scope="module")
def single(slurm, tmp_path_factory):
    """A job on one node, undisturbed."""
    folder = tmp_path_factory.mktemp("single") / "run"
    job = Job(slurm, "single_node", folder, *ENGINE, FAST, f"num_records={RECORDS}")
    assert job.end() == ("COMPLETED", "0:0"), job.told
    return job


def test_a_job_on_one_node_makes_the_dataset_that_its_overrides_ask_for(single):
    assert [row["id"] for row in single.rows()] == [str(number) for number in range(RECORDS)]
    assert single.leaves_nothing_behind()


def test_a_job_ends_with_the_exit_code_of_the_run(slurm, tmp_path):
    job = Job(slurm, "single_node", tmp_path / "run", "num_record=5")
    assert job.end() == ("FAILED", "2:0")
    assert "num_records" in job.told


def test_an_array_of_jobs_makes_the_dataset_of_one_by_the_commands_of_the_page(slurm, single, tmp_path):
    folder = tmp_path / "run"
    made_here = [(r"num_records=\d+", " ".join([*ENGINE, FAST, f"num_records={RECORDS}"])), ("runs/big", str(folder))]
    made_here += [("sbatch (?=--)", f"sbatch --parsable --output={tmp_path}/log ")]
    array, merge, single_job, again = [line for line in commands(ROOT / "docs/slurm.md") if "runs/big" in line][:4]

    def submitted(*lines):
        """The number of the last job of lines that the shell reads together, made small."""
        text = "\n".join(lines)
        for pattern, instead in made_here:
            text = re.sub(pattern, instead, text)
        done = subprocess.run(text, shell=True, cwd=ROOT, env=slurm.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def ended(number):
        wait_for(lambda: not slurm.tell("squeue", "-h", "-j", number).strip(), 180)
        return slurm.job(number)["JobState"]

    two = again.replace("SLICES=8", "SLICES=3").replace("=3,5", "=0,2")
    assert ended(submitted(two)) == "COMPLETED"
    assert ended(submitted(two.replace("SLICES=3 ", "").replace("=0,2", "=1"))) == "FAILED"
    assert "slice: must be from 0/1 to 0/1, got '1/1'" in (tmp_path / "log").read_text()
    three = array.replace("0-7", "0-2")
    assert ended(submitted(three, merge)) == "COMPLETED"
    assert load_from_disk(str(folder / "dataset")).to_list() == single.rows()
    assert ended(submitted("job=1", single_job)) == "COMPLETED"
    assert load_from_disk(str(folder / "dataset")).to_list() == single.rows()


def test_a_job_on_two_nodes_has_engines_on_both_and_makes_the_same_dataset(slurm, single, tmp_path):
    job = Job(slurm, "multi_node", tmp_path / "run", *ENGINE, SLOW, f"num_records={RECORDS}", "cluster.replicas=2")
    job.until(lambda: job.workers("n1") and job.workers("n2"))
    assert stat.S_IMODE(job.token.stat().st_mode) == 0o600
    for node in ("n1", "n2"):
        assert job.workers(node)[0].environ()["SLURM_GPUS_ON_NODE"] == str(GPUS)
    assert job.end() == ("COMPLETED", "0:0"), job.told
    assert job.rows() == single.rows()
    assert job.leaves_nothing_behind()


def test_a_job_whose_time_is_up_is_requeued_and_resumes_to_the_same_dataset(slurm, single, tmp_path):
    much = [*ENGINE, "engine.tokens_per_second=10", f"num_records={RECORDS}"]
    job = Job(slurm, "multi_node", tmp_path / "run", *much, options=["--signal=B:USR1@120"])
    job.until(lambda: job.written)
    # The limit is one to two minutes away: SLURM looks at its clock twice a minute, and sees that it is time to tell.
    slurm.tell("scontrol", "update", f"job={job.number}", f"TimeLimit={job.minutes + 2}")
    job.until(lambda: "stopped by SIGUSR1" in job.told)
    job.until(lambda: job.state == "PENDING", 60)
    assert 0 < job.written < RECORDS
    slurm.tell("scontrol", "update", f"job={job.number}", "TimeLimit=60")
    assert job.end(300) == ("COMPLETED", "0:0"), job.told
    assert slurm.job(job.number)["Restarts"] == "1"
    assert job.rows() == single.rows()


def test_a_job_that_is_cancelled_keeps_what_is_finished_and_does_not_come_back(slurm, tmp_path):
    job = Job(slurm, "multi_node", tmp_path / "run", *ENGINE, SLOW, "num_records=10000")
    job.until(lambda: job.written > 20)
    slurm.tell("scancel", job.number)
    job.until(lambda: job.state == "CANCELLED")
    assert job.leaves_nothing_behind()
    assert job.written > 20
    assert "the same command goes on from there" in job.told
    assert "goes back into the queue" not in job.told
    time.sleep(1)
    assert job.state == "CANCELLED"


def test_a_node_that_fails_is_no_end_of_the_job(slurm, single, tmp_path):
    job = Job(slurm, "multi_node", tmp_path / "run", *ENGINE, SLOW, f"num_records={RECORDS}", "cluster.replicas=auto")
    job.until(lambda: job.workers("n1") and job.workers("n2") and job.written)
    slurm.kill_node("n2", job.number)
    try:
        assert job.end() == ("COMPLETED", "0:0"), job.told
    finally:
        slurm.restart_node("n2")
    assert job.rows() == single.rows()


@pytest.mark.vllm
def test_a_job_on_two_nodes_with_vllm_makes_a_dataset(slurm, tmp_path):
    job = Job(slurm, "multi_node", tmp_path / "run", "num_records=40", "shard_size=10", "engine.kv_cache_gib=1")
    job.until(lambda: job.workers("n1") and job.workers("n2"))
    assert job.end(400) == ("COMPLETED", "0:0"), job.told
    assert all(row["response"] for row in job.rows())
