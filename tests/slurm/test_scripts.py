"""What the job scripts say where a site is not as they expect it. No SLURM: its variables are set by hand."""

import os
import re
import subprocess

import pytest

from synth.schedule import cluster
from tests.documents import ROOT
from tests.error_lines import check_line

JOB = {"SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "2", "SLURMD_NODENAME": "n1", "SLURM_NODEID": "1"}


@pytest.fixture
def site(tmp_path):
    """Runs a line of bash in a checkout whose environment.sh has been changed, with a job's variables."""
    (tmp_path / "slurm").mkdir()
    for path in (ROOT / "slurm").iterdir():
        (tmp_path / "slurm" / path.name).write_text(path.read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text('PATH="$PWD/.venv/bin:$PATH"')

    def site(line, change=lambda text: text, **variables):
        environment = tmp_path / "slurm" / "environment.sh"
        environment.write_text(change(environment.read_text()))
        env = os.environ | JOB | variables
        return subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True)

    return site


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.1.1"])
def test_an_address_that_other_nodes_do_not_reach_is_refused(site, address):
    done = site("bash slurm/multi_node.sbatch", lambda text: text + f"node_address() {{ echo {address}; }}")
    assert done.returncode == 1
    check_line(done.stderr, "error", "n1", f"'{address}'", "node_address", "slurm/environment.sh")


def test_a_node_that_does_not_reach_the_head_says_so_and_is_no_part_of_the_run(site):
    done = site("bash slurm/ray_node.sh", RAY_ADDRESS="127.0.0.1:1", HEAD_TIMEOUT_S="0")
    assert done.returncode == 1
    check_line(done.stderr, "error: n1", "Ray's head", "127.0.0.1:1")


def test_a_cluster_by_slurm_asks_of_ray_what_a_run_asks_of_its_own():
    script = (ROOT / "slurm" / "ray_node.sh").read_text()
    asked = dict(re.findall(r"\b(RAY_\w+)=(0|60)\b", script))
    assert asked and asked.items() <= (cluster.RAY_ENV | cluster.OWN_RAY_ENV).items()


def test_modules_do_not_hide_the_software_of_the_checkout(site):
    module = 'module() { PATH="/modules/bin:$PATH"; }; source slurm/environment.sh; echo "$PATH"'
    paths = site(module, lambda text: text.replace("# module load", "module load")).stdout.split(":")
    assert paths[0].endswith("/.venv/bin") and paths[1] == "/modules/bin"


def test_in_an_image_the_checkout_needs_no_software(site, tmp_path):
    chosen = "source slurm/environment.sh; echo ${container[0]} $PATH"
    done = site(chosen, lambda text: text.replace("# container=(apptainer", "container=(apptainer"))
    assert done.stdout.startswith("apptainer ") and str(tmp_path) not in done.stdout
