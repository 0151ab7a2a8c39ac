"""The job scripts as a user submits them, to a real SLURM of one machine: real Ray nodes, simulated engines, and real
vLLM once."""

import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from datasets import load_from_disk

from tests.documents import ROOT, commands, look_like_the_checkout
from tests.slurm.machine import GPUS, LONG_S, Slurm, missing, wait_for
from tests.stage import Stage, records_on_disk

RECORDS = 200
ENGINE = ["engine=simulated", "engine.tokens_per_second=400", "engine.median_tokens=20", "engine.max_num_seqs=8"]
ENGINE += ["shard_size=20", f"num_records={RECORDS}"]
ON_ONE_NODE = [*ENGINE, "engine._target_=tests.fault_engines.OnePerCPU"]
ON_EACH_NODE = [*ENGINE, "engine._target_=tests.fault_engines.OnePerNode"]
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
    except OSError as error:
        result = "\n".join(path.read_text()[-500:] for path in folder.glob("*.out"))
        pytest.skip(f"SLURM does not start here: {error}\n{result}")
    else:
        yield machine
        machine.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Where jobs are submitted from."""
    folder = tmp_path_factory.mktemp("checkout")
    look_like_the_checkout(folder)
    return folder


@pytest.fixture(autouse=True)
def room(slurm):
    """A test that fails leaves its nodes to the next one."""
    yield
    slurm.end_jobs()


@pytest.fixture(scope="module")
def submit(slurm, checkout):
    """Starts jobs. `options` are sbatch's."""

    def submit(script, folder, *overrides, options=()):
        return Job(slurm, checkout, script, folder, overrides, options)

    return submit


class Job:
    """A run as a job, in `folder`. On a `stage`, its engines wait until they are to go on."""

    def __init__(self, slurm, checkout, script, folder, overrides, options):
        self.slurm, self.checkout, self.folder = slurm, checkout, folder
        self.log = folder.parent / f"{folder.name}.log"
        script = f"slurm/{script}.sbatch"
        words = [*options, f"--output={self.log}", script, "+strategy=magpie", f"output_dir={folder}", *overrides]
        self.number = slurm.submit(*words, cwd=checkout)

    @property
    def output(self):
        return self.log.read_text() if self.log.exists() else "nothing"

    @property
    def state(self):
        return self.slurm.job(self.number)["JobState"]

    @property
    def minutes(self):
        """Whole ones since it began to run."""
        hours, minutes, _ = self.slurm.job(self.number)["RunTime"].split(":")
        return 60 * int(hours) + int(minutes)

    def until(self, condition, seconds=LONG_S):
        """Waits for what stays true once it is, unless the job ends before."""
        try:
            wait_for(lambda: condition() or self.state in ENDED, seconds)
        except TimeoutError:
            pytest.fail(f"{self.slurm.job(self.number)}\n{self.output}")
        assert condition(), self.output

    def end(self, seconds=LONG_S):
        """What SLURM says of how it ended."""
        self.until(lambda: self.state in ENDED, seconds)
        job = self.slurm.job(self.number)
        return job["JobState"], job["ExitCode"]

    def rows(self):
        return load_from_disk(str(self.folder / "dataset")).to_list()

    @property
    def token(self):
        return self.checkout / f".ray-token-{self.number}"

    def leaves_nothing_behind(self):
        wait_for(lambda: not self.slurm.processes(self.number))
        assert not self.token.exists()
        assert not list(Path("/tmp").glob(f"ray-{self.number}-*"))
        return True


@pytest.fixture(scope="module")
def single(submit, tmp_path_factory):
    """A job on one node, undisturbed."""
    job = submit("single_node", tmp_path_factory.mktemp("single") / "run", *ON_ONE_NODE)
    assert job.end() == ("COMPLETED", "0:0"), job.output
    return job


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "stage")


def nodes(stage):
    """Where engines have come to run."""
    return {one["node"] for one in stage.started()}


def test_a_job_on_one_node_makes_the_dataset_that_its_overrides_ask_for(single):
    assert [row["id"] for row in single.rows()] == [str(number) for number in range(RECORDS)]
    assert single.leaves_nothing_behind()


def test_a_job_ends_with_the_exit_code_of_the_run(submit, tmp_path):
    job = submit("single_node", tmp_path / "run", "num_record=5")
    assert job.end() == ("FAILED", "2:0")
    assert "num_records" in job.output


def test_an_array_of_jobs_makes_the_dataset_of_one_by_the_commands_of_the_page(slurm, checkout, single, tmp_path):
    folder = tmp_path / "run"
    made_here = [(r"num_records=\d+", " ".join(ON_ONE_NODE)), ("runs/big", str(folder))]
    made_here += [("sbatch (?=--)", f"sbatch --parsable --output={tmp_path}/log ")]
    array, merge, single_job, again = [line for line in commands(ROOT / "docs/slurm.md") if "runs/big" in line][:4]

    def submitted(*lines):
        """The number of the last job of lines that the shell reads together, made small."""
        text = "\n".join(lines)
        for pattern, instead in made_here:
            text = re.sub(pattern, instead, text)
        done = subprocess.run(text, shell=True, cwd=checkout, env=slurm.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def ended(number):
        """How a job has ended, or all tasks of an array."""
        wait_for(lambda: (found := slurm.states(number)) and set(found) <= set(ENDED))
        return set(slurm.states(number))

    two = again.replace("SLICES=8", "SLICES=3").replace("=3,5", "=0,2")
    assert ended(submitted(two)) == {"COMPLETED"}
    assert ended(submitted(two.replace("SLICES=3 ", "").replace("=0,2", "=1"))) == {"FAILED"}
    assert "slice: must be from 0/1 to 0/1, got '1/1'" in (tmp_path / "log").read_text()
    three = array.replace("0-7", "0-2")
    assert ended(submitted(three, merge)) == {"COMPLETED"}
    assert load_from_disk(str(folder / "dataset")).to_list() == single.rows()
    assert ended(submitted("job=1", single_job)) == {"COMPLETED"}
    assert load_from_disk(str(folder / "dataset")).to_list() == single.rows()


def test_a_job_on_two_nodes_has_engines_on_both_and_makes_the_same_dataset(submit, single, stage, tmp_path):
    job = submit("multi_node", tmp_path / "run", *ON_EACH_NODE, *stage.overrides, "cluster.replicas=2")
    job.until(lambda: nodes(stage) == {"n1", "n2"})
    assert [one["gpus"] for one in stage.started()] == [str(GPUS)] * 2
    assert stat.S_IMODE(job.token.stat().st_mode) == 0o600
    stage.go_on()
    assert job.end() == ("COMPLETED", "0:0"), job.output
    assert job.rows() == single.rows()
    assert job.leaves_nothing_behind()


def test_a_job_whose_time_is_up_is_requeued_and_resumes_to_the_same_dataset(slurm, submit, single, stage, tmp_path):
    folder = tmp_path / "run"
    job = submit("multi_node", folder, *ON_EACH_NODE, *stage.overrides, options=["--signal=B:USR1@120"])
    job.until(lambda: records_on_disk(folder))
    # The limit is one to two minutes away: SLURM looks at its clock twice a minute, and sees that it is time to tell.
    slurm.tell("scontrol", "update", f"job={job.number}", f"TimeLimit={job.minutes + 2}")
    job.until(lambda: "goes back into the queue" in job.output)
    [kept] = re.findall(r"stopped by SIGUSR1: (\d+) records kept", job.output)
    assert 0 < int(kept) < RECORDS
    wait_for(lambda: slurm.job(job.number)["Restarts"] == "1")
    slurm.tell("scontrol", "update", f"job={job.number}", "TimeLimit=60")
    stage.go_on()
    assert job.end() == ("COMPLETED", "0:0"), job.output
    assert slurm.job(job.number)["Restarts"] == "1"
    assert job.rows() == single.rows()


def test_a_job_that_is_cancelled_keeps_what_is_finished_and_does_not_come_back(slurm, submit, stage, tmp_path):
    folder = tmp_path / "run"
    job = submit("multi_node", folder, *ON_EACH_NODE, *stage.overrides)
    job.until(lambda: records_on_disk(folder))
    before = records_on_disk(folder)
    slurm.tell("scancel", job.number)
    job.until(lambda: job.state == "CANCELLED")
    assert job.leaves_nothing_behind()
    assert records_on_disk(folder) >= before
    assert "run the same command again to resume" in job.output
    assert "goes back into the queue" not in job.output
    assert slurm.job(job.number)["Restarts"] == "0"
    assert job.state == "CANCELLED"


def test_a_node_that_fails_is_no_end_of_the_job(slurm, submit, single, stage, tmp_path):
    folder = tmp_path / "run"
    job = submit("multi_node", folder, *ON_EACH_NODE, *stage.overrides, "cluster.replicas=auto")
    job.until(lambda: nodes(stage) == {"n1", "n2"} and records_on_disk(folder))
    slurm.kill_node("n2", job.number)
    stage.go_on()
    try:
        assert job.end() == ("COMPLETED", "0:0"), job.output
    finally:
        slurm.restart_node("n2")
    assert job.rows() == single.rows()


@pytest.mark.vllm
def test_a_job_on_two_nodes_with_vllm_makes_a_dataset(submit, stage, tmp_path):
    engine = ["engine._target_=tests.stage.StagedVLLM", "engine.kv_cache_gib=1", *stage.overrides]
    job = submit("multi_node", tmp_path / "run", *engine, "num_records=40", "shard_size=10", "cluster.replicas=2")
    job.until(lambda: nodes(stage) == {"n1", "n2"})
    stage.go_on()
    assert job.end() == ("COMPLETED", "0:0"), job.output
    assert all(row["response"] for row in job.rows())
