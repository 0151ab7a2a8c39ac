"""GPUs that go from model to model, on a real Ray cluster whose nodes claim to have some, and one of which is lost."""

import asyncio
import re
import threading

import pytest
from datasets import load_from_disk
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth import job
from synth.configuration.parsing import parse
from synth.engines import Placement
from synth.engines.simulated import Simulated
from synth.schedule import balance
from synth.schedule.autoscaler import Autoscaler
from tests.faults import gpu_nodes
from tests.schedule.configs import config

pytestmark = [pytest.mark.slow, pytest.mark.faults]

RECORDS = 1500
STEPS = [
    {"_target_": "synth.steps.magpie.Magpie"},
    {"_target_": "synth.steps.judge.Judge", "on_failure": "keep", "model": "judge"},
]


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class OnePerGPU(Simulated):
    """A simulated engine that takes a GPU where there is any."""

    def placement(self, on_gpu, replicas_beside):
        return Placement(gpus=1 if on_gpu else 0, cpus=0)


@pytest.fixture
def nodes(monkeypatch):
    with gpu_nodes(monkeypatch, 2, num_gpus=2) as nodes:
        yield nodes


def judged(folder, cluster, **judge):
    engine = {"_target_": "tests.test_autoscaling.OnePerGPU", "max_num_seqs": 8, "median_tokens": 20}
    fast = engine | {"tokens_per_second": 2000.0}
    served = {"model": {"path": "demo", "name": "judge"}, "engine": fast | judge, "replicas": "auto"}
    given = {"output_dir": str(folder), "num_records": RECORDS, "shard_size": 50, "engine": fast, "cluster": cluster}
    models = {"strategy": {"name": "test", "steps": STEPS}, "models": {"judge": served}}
    return parse(config().resolved | given | models)


def rows(folder):
    dataset = load_from_disk(str(folder / "dataset"))
    return [{name: value for name, value in row.items() if name != "usage"} for row in dataset]


def test_a_slow_judge_gets_the_gpus_of_main_and_rows_are_the_same_though_a_node_is_lost(
    nodes, tmp_path, monkeypatch, capsys
):
    calm = judged(tmp_path / "calm", {"replicas": 1})
    assert job.run(calm) == 0
    monkeypatch.setattr(balance, "SETTLE_S", 2.0)
    monkeypatch.setattr(balance, "WINDOW_S", 4.0)
    # The node is lost in the moment in which judge gets its third GPU: nothing public runs then.
    resized, lost = Autoscaler._resize, threading.Event()

    def resize(self, room):
        resized(self, room)
        if room.others["judge"][0] == 3 and not lost.is_set():
            lost.set()
            first, *_ = nodes.nodes
            killing = asyncio.get_running_loop().run_in_executor(None, nodes.kill_node, first.node_id)
            killing.add_done_callback(lambda done: nodes.add())

    monkeypatch.setattr(Autoscaler, "_resize", resize)
    # Requests are short, and what judge's engines can do is a twentieth of main's.
    busy = judged(tmp_path / "busy", {"address": nodes.address}, tokens_per_second=20.0)
    assert job.run(busy) == 0
    output = capsys.readouterr().err
    found = re.findall(r"cluster: (\d) node\(s\) with capacity, (\d) engine\(s\), (\d) of judge", output)
    assert found[0] == ("2", "3", "1") and any(one[1:] == ("1", "3") for one in found), output
    assert lost.is_set()
    assert rows(tmp_path / "busy") == rows(tmp_path / "calm")
    assert len(rows(tmp_path / "busy")) == RECORDS
