"""Jobs that are given to a real Ray cluster by `ray job submit`, and the manifest for one on Kubernetes."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from datasets import load_from_disk

from synth.run import main
from tests.documents import ROOT, commands
from tests.faults import CLUSTER_ENV
from tests.stage import Stage

RAY = Path(sys.executable).with_name("ray")
ENGINE = ["engine=simulated", "engine._target_=tests.fault_engines.OnePerCPU", "engine.max_num_seqs=8"]


@pytest.fixture
def ray_cli(tmp_path):
    """The `ray` command, for a cluster of its own, started as anybody would."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(str(probe.getsockname()[1]))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join([str(RAY.parent), os.environ["PATH"]])
    env = clean | CLUSTER_ENV | {"PYTHONPATH": str(ROOT), "PATH": path}
    folder = Path("/tmp") / f"ray-job-{os.getpid()}"  # paths of sockets may have a hundred characters
    start = f"start --head --block --node-ip-address=127.0.0.1 --num-cpus=2 --temp-dir={folder}"
    start += f" --port={ports[0]} --dashboard-port={ports[1]} --dashboard-agent-listen-port=0"

    def start_head():
        with (tmp_path / "ray.log").open("a") as log:
            return subprocess.Popen([RAY, *start.split()], env=env, stdout=log, stderr=log)

    head = start_head()

    def ray_cli(*words):
        env["RAY_ADDRESS"] = f"http://127.0.0.1:{ports[1]}"
        return subprocess.run([RAY, *words], env=env, capture_output=True, text=True)

    end = time.monotonic() + 600
    while ray_cli("job", "submit", "--no-wait", "--", "true").returncode:  # it answers before it can take any
        assert time.monotonic() < end, (tmp_path / "ray.log").read_text()
        if head.poll() is not None:  # Ray leaves its own agents 15 s to start, whatever the machine is busy with
            head = start_head()
    yield ray_cli
    family = psutil.Process(head.pid).children(recursive=True)
    head.send_signal(signal.SIGTERM)
    head.wait(60)
    for process in psutil.wait_procs(family, 20)[1]:
        process.kill()
    subprocess.run(["rm", "-rf", folder])


@pytest.mark.slow
@pytest.mark.faults
def test_a_job_that_is_stopped_keeps_what_is_finished_and_the_same_job_goes_on(ray_cli, tmp_path):
    [line] = [line for line in commands(ROOT / "docs/slurm.md") if line.startswith("ray job submit")]
    here = line.replace("/shared", str(tmp_path)).replace("num_records=100000", "num_records=60")
    submit = [*shlex.split(here)[1:], *ENGINE]
    stage = Stage(tmp_path / "stage")
    one = ray_cli("job", "submit", "--no-wait", "--submission-id=one", *submit[2:], *stage.overrides)
    assert one.returncode == 0, one
    end = time.monotonic() + 600
    while not re.search(r"^kept [1-9]", ray_cli("job", "logs", "one").stdout, re.MULTILINE):
        assert time.monotonic() < end, ray_cli("job", "logs", "one")
    ray_cli("job", "stop", "one")
    assert "stopped by SIGTERM" in ray_cli("job", "logs", "one").stdout
    done = ray_cli(*submit)
    assert done.returncode == 0, done.stdout
    assert "60 records kept" in done.stdout
    assert len(load_from_disk(str(tmp_path / "runs" / "big" / "dataset"))) == 60
    assert ray_cli(*submit, "sed=1").returncode == 1


def manifest():
    [text] = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/kubernetes.md").read_text(), re.DOTALL | re.MULTILINE)
    return yaml.safe_load(text)


def test_the_job_of_the_manifest_for_kubernetes_is_one(capsys):
    program, *words = shlex.split(manifest()["spec"]["entrypoint"])
    assert (program, words[:2]) == ("python", ["-m", "synth.run"])
    assert main([*words[2:], "dry_run=true"]) == 0
    assert "1,000,000 to keep" in capsys.readouterr().out


def test_the_manifest_mounts_the_runs_folder_on_all_machines_and_asks_for_gpus_on_workers_only():
    spec = manifest()["spec"]["rayClusterSpec"]
    pods = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    containers = [container for pod in pods for container in pod["template"]["spec"]["containers"]]
    for pod, container in zip(pods, containers, strict=True):
        volumes = {one["name"] for one in pod["template"]["spec"]["volumes"]}
        assert {one["name"] for one in container["volumeMounts"]} == volumes
        assert "/data" in {one["mountPath"] for one in container["volumeMounts"]}
    assert ["nvidia.com/gpu" in container["resources"]["limits"] for container in containers] == [False, True]
    assert pods[0]["rayStartParams"]["num-cpus"] == "0"
