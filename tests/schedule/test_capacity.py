"""Capacity for several models: what main has left, GPUs that are shared, and what is refused."""

import pytest

from synth.configuration.named_models import ServedModel
from synth.configuration.settings import Cluster
from synth.engines import Placement
from synth.errors import ConfigError
from synth.schedule.capacity import capacity_of


class Engine:
    """What a cluster asks of an engine: so many GPUs, and the `share` of one that it can do with."""

    def __init__(self, gpus=1.0, share=None, nodes=1):
        self.gpus, self.share, self.nodes = gpus, share, nodes

    def placement(self, on_gpu, replicas_beside):
        if not on_gpu:
            return Placement(cpus=1, env={"BESIDE": str(replicas_beside)})
        return Placement(gpus=self.gpus, cpus=0, nodes=self.nodes, share=self.share)


def nodes(*gpus, cpus=16.0):
    resources = [{"CPU": cpus, **({"GPU": one} if one else {})} for one in gpus]
    return [{"NodeID": f"n{number}", "Alive": True, "Resources": one} for number, one in enumerate(resources)]


def others(**engines):
    return {name: ServedModel(name, None, engine, count, name) for name, (engine, count) in engines.items()}


def split(machines, main, replicas="auto", **models):
    found = capacity_of(Cluster(replicas=replicas), main, machines, others=others(**models))
    return found.replicas, {name: count for name, (count, _) in found.others.items()}


def test_main_fills_the_gpus_that_the_other_models_leave():
    assert split(nodes(8.0), Engine(), judge=(Engine(), 2)) == (6, {"judge": 2})
    assert split(nodes(8.0, 8.0), Engine(4.0), judge=(Engine(), 2)) == (3, {"judge": 2})


def test_what_main_can_not_fill_is_for_a_model_whose_engines_are_not_counted():
    assert split(nodes(8.0, 8.0), Engine(4.0), judge=(Engine(), "auto")) == (3, {"judge": 4})
    assert split(nodes(8.0), Engine(4.0), replicas=1, judge=(Engine(), "auto")) == (1, {"judge": 4})


def test_a_model_behind_a_server_takes_no_gpu_and_leaves_the_others_theirs():
    class Server(Engine):
        def placement(self, on_gpu, replicas_beside):
            return Placement(cpus=0)

    models = {"judge": (Engine(), "auto"), "teacher": (Server(), 2)}
    found = capacity_of(Cluster(), Engine(4.0), nodes(8.0, 8.0), others=others(**models))
    assert (found.replicas, found.others["judge"][0], found.others["teacher"][0]) == (3, 4, 2)
    assert found.nodes("teacher") == {None: 2} and set(found.nodes("judge")) <= {"n0", "n1"}


def test_where_machines_are_lost_engines_that_have_a_place_are_not_put_elsewhere_by_ray():
    judge = {"judge": (Engine(8.0), 1)}
    found = capacity_of(Cluster(), Engine(4.0), nodes(8.0, 8.0), others=others(**judge))
    with pytest.raises(ConfigError, match="no capacity for an engine of each model"):
        capacity_of(Cluster(), Engine(4.0), nodes(4.0), True, others=others(**judge), before=found.places)


def test_engines_of_one_gpu_share_it_by_their_parts_of_its_memory_where_there_are_not_enough():
    made = capacity_of(Cluster(), Engine(share=0.6), nodes(1.0), others=others(judge=(Engine(share=0.3), 1)))
    assert (made.placement.gpus, made.others["judge"][1].gpus) == (0.6, 0.3)
    assert split(nodes(2.0), Engine(share=0.6), judge=(Engine(share=0.3), 1)) == (1, {"judge": 1})


def test_three_models_share_one_gpu():
    models = {"judge": (Engine(share=0.3), 1), "tagger": (Engine(share=0.1), 1)}
    assert split(nodes(1.0), Engine(share=0.6), **models) == (1, {"judge": 1, "tagger": 1})


def test_shares_that_are_together_more_than_a_gpu_are_refused_with_the_keys_that_set_them():
    with pytest.raises(ConfigError) as caught:
        split(nodes(1.0), Engine(share=0.9), judge=(Engine(share=0.9), 1))
    expected = "need memory shares of at most 1 together: engine.gpu_memory_utilization=0.9, "
    assert expected + "models.judge.engine.gpu_memory_utilization=0.9" in str(caught.value)


def test_a_share_is_of_one_gpu_and_not_of_what_is_left_on_two():
    with pytest.raises(
        ConfigError, match=r"^cluster.replicas: a replica needs .* free for 1 of 2.*; engines that share"
    ):
        split(nodes(2.0), Engine(share=0.6), replicas=2, judge=(Engine(share=0.6), 1))
    assert split(nodes(2.0), Engine(share=0.6), replicas=2, judge=(Engine(share=0.4), 2)) == (2, {"judge": 2})


def test_what_no_machine_has_room_for_is_refused_by_its_own_key():
    with pytest.raises(
        ConfigError,
        match=r"^models.judge.replicas: an engine needs 4 GPU\(s\) on one node, .* for 2 of",
    ):
        split(nodes(8.0), Engine(), judge=(Engine(4.0), 3))
    with pytest.raises(
        ConfigError,
        match=r"^cluster.replicas: .* free for 0 of .* beside 1 engine\(s\)",
    ):
        split(nodes(4.0), Engine(4.0), judge=(Engine(), 1))


def test_an_engine_that_takes_a_gpu_where_there_is_none_is_named():
    class OnlyGPU(Engine):
        def placement(self, on_gpu, replicas_beside):
            return Placement(gpus=1)

    with pytest.raises(ConfigError, match=r"^models.judge: the engine needs a GPU, and Ray finds none"):
        split(nodes(0), Engine(), judge=(OnlyGPU(), 1))


def test_engines_on_a_cpu_share_its_cores_with_those_of_other_models():
    made = capacity_of(Cluster(), Engine(), nodes(0), others=others(judge=(Engine(), 2)))
    assert made.replicas == 1
    assert {made.placement.env["BESIDE"], made.others["judge"][1].env["BESIDE"]} == {"2"}
