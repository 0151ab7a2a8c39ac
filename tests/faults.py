"""What the fault tests and the fault benchmark are made of: a Ray cluster of several nodes on one machine, jobs on it,
processes to kill, and rows to compare."""

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
from datasets import load_from_disk

from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from tests.stage import Stage, is_alive, records_on_disk

ROOT = Path(__file__).parent.parent
# A dead node is noticed in 1.5 s in place of 12 to 14.
QUICK_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 5000,  # of a raylet that waits for a core; one that is gone refuses at once
    "health_check_failure_threshold": 3,
}
CLUSTER_ENV = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "60",
}


def started(start):
    """Ray gives its own agents 15 s to start, whatever the machine is busy with: it is tried again."""
    for tries_left in (2, 1, 0):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error) or not tries_left:
                raise


@contextlib.contextmanager
def gpu_nodes(monkeypatch, count: int, num_gpus: int):
    """Nodes that claim to have GPUs, whatever Ray the environment names."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    nodes = Nodes(count, num_gpus=num_gpus)
    yield nodes
    nodes.shutdown()


class Nodes:
    """A Ray cluster: a head without room for engines, and nodes with room for one each, or with GPUs, as they claim."""

    def __init__(self, count: int, num_gpus: int = 0):
        os.environ.update(CLUSTER_ENV)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "_system_config": QUICK_HEALTH_CHECKS, "include_dashboard": False}
        self._cluster = started(lambda: Cluster(initialize_head=True, head_node_args=head))
        self._num_gpus = num_gpus
        self._nodes = [self._start() for _ in range(count)]

    @property
    def address(self) -> str:
        return self._cluster.address

    @property
    def nodes(self) -> list:
        """Those that live, but for the head."""
        return list(self._nodes)

    def head_process(self, name: str) -> int:
        """The id of one of the head's processes, such as gcs_server."""
        return self._cluster.head_node.all_processes[name][0].process.pid

    def __len__(self) -> int:
        return len(self._nodes)

    def _start(self, **takes):
        takes = {"num_gpus": self._num_gpus} | takes
        return started(lambda: self._cluster.add_node(num_cpus=1, wait=False, **takes))

    def add(self) -> None:
        self._nodes.append(self._start())

    def add_without_gpus(self) -> str:
        """What Ray calls the new node, which has room for an engine on a CPU."""
        return self._start(num_gpus=0).node_id

    def kill_node(self, id: str) -> None:
        """The same for the node that Ray calls so."""
        [node] = [node for node in self._nodes if node.node_id == id]
        self._nodes.remove(node)
        self.kill_this(node)

    def kill(self, rng: random.Random) -> None:
        """SIGKILL for all processes of one node at once."""
        self.kill_this(self._nodes.pop(rng.randrange(len(self._nodes))))

    def kill_this(self, node) -> None:
        raylet = self.raylet(node)
        for process in [raylet, *raylet.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.worker_nodes.discard(node)
        node.kill_all_processes(check_alive=False, allow_graceful=False)

    def raylet(self, node) -> psutil.Process:
        [info] = node.all_processes["raylet"]
        return psutil.Process(info.process.pid)

    def workers(self) -> list[psutil.Process]:
        """The processes of all workers on all nodes."""
        found = []
        for node in self._nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [child for child in self.raylet(node).children() if is_worker(child)]
        return found

    def shutdown(self) -> None:
        self._cluster.shutdown()


class Job:
    """The main job in a process of its own, which may be killed and started again. Its words are in `output`.

    A `staged` one has engines of tests/stage.py, which wait until it is to `go_on`: each start has a stage of its own.
    """

    def __init__(self, folder: Path, shard_size: int, *overrides: str, staged: bool = False):
        self.folder, self._staged, self._starts = folder, staged, 0
        self._log = folder.with_name(folder.name + ".log")
        self._command = [sys.executable, "-m", "synth.run", "+strategy=magpie", f"output_dir={folder}"]
        self._command += [f"shard_size={shard_size}", *overrides]
        self.start()

    def start(self) -> None:
        # Where the driver, and so its workers, find the engines of the tests.
        environment = os.environ | CLUSTER_ENV | {"PYTHONPATH": str(ROOT)}
        command = self._command
        if self._staged:
            self._starts += 1
            self._stage = Stage(self.folder.with_name(f"{self.folder.name}.stage-{self._starts}"))
            command = [*command, *self._stage.overrides]
        with self._log.open("a") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def go_on(self) -> None:
        self._stage.go_on()

    def started(self) -> list[dict]:
        """What the engines said that this process of the job has started, those that are gone too."""
        return self._stage.started()

    def engines(self) -> list[dict]:
        """The same of those that are there."""
        return [one for one in self.started() if is_alive(one["pid"])]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    @property
    def written(self) -> int:
        """Records on disk."""
        return len(records_on_disk(self.folder))

    def until(self, condition, seconds: float = 900) -> None:
        """Waits for what stays true once it is, unless the job ends before."""
        end = time.monotonic() + seconds
        while not (condition() or self.over):
            assert time.monotonic() < end, self.output
            time.sleep(0.05)
        assert condition(), self.output

    def finish(self, seconds: float = 900) -> list[dict]:
        """The dataset's rows, when the job is done."""
        assert self.process.wait(seconds) == 0, self.output
        return load_from_disk(str(self.folder / "dataset")).to_list()

    def rows(self, kind: str) -> list[dict]:
        """All `kept` or `rejected` rows of the committed shards; of kept ones there may be more than in the dataset."""
        run = RunFolder(self.folder)
        path = run.shard if kind == "kept" else run.rejected
        return [row for summary in Manifest.read(run).summaries for row in _table(path(summary.index)).to_pylist()]


def is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name().startswith("ray::WorkerProcess") and process.status() != psutil.STATUS_ZOMBIE
    return False


def cores(workers: list[psutil.Process]) -> list[psutil.Process]:
    """The engine cores of these workers: vLLM's, or those of the simulation."""
    found = []
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child for child in worker.children() if child.name() == "cat" or "EngineCore" in child.name()]
    return found


def _table(path: Path) -> pa.Table:
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()
