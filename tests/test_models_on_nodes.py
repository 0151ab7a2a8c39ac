"""Two real models on a real Ray cluster, on a node each: one writes, the other judges, and the judge's node is lost."""

import psutil
import pytest

from tests.faults import Job, Nodes

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.vllm]

RECORDS = 60


@pytest.fixture
def nodes(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    nodes = Nodes(2)
    yield nodes
    nodes.shutdown()


def serving(nodes: Nodes, kind: str) -> dict[str, psutil.Process]:
    """The process of this class of actors, by the node that it is on."""
    return {
        node.node_id: process
        for node in nodes.nodes
        for process in nodes.raylet(node).children()
        if process.name().startswith(f"ray::{kind}")
    }


def test_a_judge_whose_node_is_lost_is_loaded_on_another_and_no_record_is_lost(nodes, tmp_path, real_model_folder):
    judge = [f"models.judge.path={real_model_folder}", "models.judge.name=real"]
    judge += ["models.judge.engine.max_num_seqs=8", "+strategy.judge._target_=synth.steps.judge.Judge"]
    words = [*judge, "strategy.judge.model=judge", "strategy.judge.on_failure=keep", "strategy.steps=[magpie,judge]"]
    words += ["model=demo", "engine.max_num_seqs=8", "engine.kv_cache_gib=0.5", "models.judge.engine.kv_cache_gib=0.5"]
    run = Job(tmp_path / "run", 20, *words, f"cluster.address={nodes.address}", f"num_records={RECORDS}")
    try:
        run.until(lambda: run.written >= 5)
        (writers,), (judges,) = serving(nodes, "WorkerProcess"), serving(nodes, "EngineProcess")
        assert writers != judges
        nodes.kill_node(judges)
        nodes.add()
        rows = run.finish()
    finally:
        run.kill()
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows}, key=int) and len(rows) == RECORDS
    assert {row["model"] for row in rows} == {"synth-demo"}
    assert sum(row["judge_score"] in range(1, 6) for row in rows) >= 0.9 * RECORDS
    assert "engine 0 of judge: its process ended" in run.output
