"""Engines that span machines, on a real Ray cluster whose nodes claim to have two GPUs each."""

import json
import os

import pytest

from tests.faults import Job, Nodes

pytestmark = [pytest.mark.slow, pytest.mark.faults]

RECORDS = 300


@pytest.fixture
def nodes(monkeypatch):
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    nodes = Nodes(4, num_gpus=2)
    yield nodes
    nodes.shutdown()


def test_an_engine_of_four_gpus_spans_two_nodes_of_two_and_is_started_anew_when_one_is_lost(nodes, tmp_path):
    import ray

    only_cpus = nodes.add_without_gpus()
    ledger = tmp_path / "ledger"
    ledger.touch()
    engine = ["engine=simulated", "engine._target_=tests.fault_engines.Ranks", f"+engine.ledger={ledger}"]
    speed = ["engine.tokens_per_second=40", "engine.median_tokens=40", "engine.max_num_seqs=8"]
    words = [f"cluster.address={nodes.address}", f"num_records={RECORDS}"]
    run = Job(tmp_path / "run", 20, *engine, *speed, *words)

    def started():
        return [json.loads(line) for line in ledger.read_text().splitlines()]

    try:
        run.until(lambda: len(started()) == 2 and run.written)
        assert not run.over, run.told
        groups = [one["ranks"] for one in started()]
        for one in started():
            assert sorted(map(one["ranks"].count, set(one["ranks"]))) == [2, 2]
            assert one["ranks"][0] == one["worker"]
        assert not set(groups[0]) & set(groups[1])
        assert only_cpus not in {*groups[0], *groups[1]}

        [beside] = set(groups[0]) - {groups[0][0]}
        nodes.kill_node(beside)
        run.until(lambda: "a rank is lost" in run.told)
        nodes.add()
        run.until(lambda: len(started()) == 3)
        again = started()[2]["ranks"]
        assert groups[0][0] in again and beside not in again
        assert not set(again) & set(groups[1])
        rows = run.finish()
    finally:
        run.kill()
    assert [row["id"] for row in rows] == [str(number) for number in range(RECORDS)]
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        assert {one["state"] for one in ray.util.placement_group_table().values()} == {"REMOVED"}
        assert ray.available_resources()["GPU"] == 8
    finally:
        ray.shutdown()
