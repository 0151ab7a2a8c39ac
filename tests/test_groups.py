"""Engines that span machines, on a real Ray cluster whose nodes claim to have two GPUs each."""

import time

import pytest

from tests.faults import Job, gpu_nodes

pytestmark = [pytest.mark.slow, pytest.mark.faults]

RECORDS = 300


@pytest.fixture
def nodes(monkeypatch):
    with gpu_nodes(monkeypatch, 4, num_gpus=2) as nodes:
        yield nodes


def test_an_engine_of_four_gpus_spans_two_nodes_of_two_and_is_started_anew_when_one_is_lost(nodes, tmp_path):
    import ray

    only_cpus = nodes.add_without_gpus()
    engine = ["engine=simulated", "engine._target_=tests.fault_engines.Ranks"]
    speed = ["engine.tokens_per_second=400", "engine.median_tokens=40", "engine.max_num_seqs=8"]
    words = [f"cluster.address={nodes.address}", f"num_records={RECORDS}"]
    run = Job(tmp_path / "run", 20, *engine, *speed, *words, staged=True)
    try:
        run.until(lambda: len(run.started()) == 2 and run.written)
        groups = [one["ranks"] for one in run.started()]
        for one in run.started():
            assert sorted(map(one["ranks"].count, set(one["ranks"]))) == [2, 2]
            assert one["ranks"][0] == one["node"]
        assert not set(groups[0]) & set(groups[1])
        assert only_cpus not in {*groups[0], *groups[1]}

        [beside] = set(groups[0]) - {groups[0][0]}
        nodes.kill_node(beside)
        run.until(lambda: "a rank is lost" in run.output)
        nodes.add()
        run.until(lambda: len(run.started()) == 3)
        again = run.started()[2]["ranks"]
        assert groups[0][0] in again and beside not in again
        assert not set(again) & set(groups[1])
        run.go_on()
        rows = run.finish()
    finally:
        run.kill()
    assert [row["id"] for row in rows] == [str(number) for number in range(RECORDS)]
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        end = time.monotonic() + 300  # the last to hear that all is free again are Ray's own tables
        while (states(ray), ray.available_resources().get("GPU")) != ({"REMOVED"}, 8):
            assert time.monotonic() < end, (states(ray), ray.available_resources())
            time.sleep(0.2)
    finally:
        ray.shutdown()


def states(ray):
    return {one["state"] for one in ray.util.placement_group_table().values()}
