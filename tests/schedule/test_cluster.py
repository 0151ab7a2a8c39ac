"""The cluster: how many replicas there is room for, and what a Ray started here opens to the world."""

import logging

import psutil
import pytest

from synth.configuration.settings import Cluster
from synth.engines import EngineError, Placement
from synth.errors import ConfigError
from synth.schedule.capacity import capacity_of
from synth.schedule.cluster import TRIES, connected, start_ray
from synth.schedule.ray_life import own_node
from tests.error_lines import check_line
from tests.schedule.configs import config


class Engine:
    """What a cluster asks of an engine: `takes` GPUs where there are any, or `only` there, else a CPU and an equal
    share of it."""

    def __init__(self, takes=1.0, nodes=1, only=False):
        self.takes, self.nodes, self.only = takes, nodes, only

    def placement(self, on_gpu, replicas_beside):
        if on_gpu or self.only:
            return Placement(gpus=self.takes, cpus=1, nodes=self.nodes)
        return Placement(cpus=1, env={"BESIDE": str(replicas_beside)})


def node(cpus=8.0, gpus=0.0, alive=True):
    resources = {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
    return {"Alive": alive, "Resources": resources}


def replicas(*nodes, asked="auto", takes=1.0):
    return capacity_of(Cluster(replicas=asked), Engine(takes), list(nodes)).replicas


def test_replicas_fill_the_gpus():
    assert replicas(node(gpus=4.0), node(gpus=2.0)) == 6


def test_an_engine_of_several_gpus_has_them_on_one_machine():
    assert replicas(node(gpus=3.0), node(gpus=3.0), takes=2.0) == 2


def spans(*nodes, **more):
    """Replicas of four GPUs in two parts, and on how many machines each of them is."""
    found = capacity_of(Cluster(), Engine(4.0, nodes=2), list(nodes), on_gpu=True, **more)
    return found.replicas, found.placement.nodes


def test_an_engine_that_no_machine_has_room_for_is_in_parts_on_several():
    assert spans(node(gpus=2.0), node(gpus=2.0), node(gpus=3.0), node(gpus=2.0), node(gpus=2.0)) == (2, 2)


def test_an_engine_that_a_machine_has_room_for_stays_on_one():
    assert spans(node(gpus=2.0), node(gpus=2.0), node(gpus=4.0), node(gpus=8.0)) == (3, 1)


def test_a_run_that_began_in_parts_stays_so_when_a_larger_machine_joins():
    assert spans(node(gpus=2.0), node(gpus=2.0), node(gpus=4.0), apart=True) == (2, 2)


def test_machines_without_gpus_are_no_part_of_any_engine():
    assert spans(node(gpus=2.0), node(cpus=64.0), node(gpus=2.0)) == (1, 2)


def test_parts_that_do_not_fit_are_refused_by_the_key():
    with pytest.raises(ConfigError) as caught:
        spans(node(gpus=2.0), node(gpus=1.0))
    check_line(str(caught.value), "cluster.replicas", "4 GPU(s)", "2", "0 of 1")


def test_without_a_gpu_there_is_one_replica_on_each_machine():
    assert replicas(node(), node(), node()) == 3


def test_an_engine_for_gpus_only_is_refused_where_ray_finds_none():
    with pytest.raises(ConfigError) as caught:
        capacity_of(Cluster(), Engine(only=True), [node(), node()])
    check_line(str(caught.value), "cluster", "GPU", "2 node(s)")


def test_lost_machines_and_those_without_room_do_not_count():
    assert replicas(node(), node(alive=False), node(cpus=0.0)) == 1


def test_more_replicas_on_a_cpu_share_it():
    placement = capacity_of(Cluster(replicas=3), Engine(), [node(), node()]).placement
    assert placement.env == {"BESIDE": "1"}


def test_a_machine_that_offers_nothing_gets_no_engine_of_any_kind():
    assert capacity_of(Cluster(), config().engine, [node(cpus=0.0), node(cpus=1.0)]).replicas == 1


def test_a_run_on_gpus_does_not_move_to_a_cpu_when_they_are_gone():
    with pytest.raises(ConfigError):
        capacity_of(Cluster(), Engine(), [node(cpus=8.0)], on_gpu=True)


@pytest.mark.parametrize(
    ("nodes", "asked", "takes"),
    [
        ([node(gpus=2.0)], 3, 1.0),
        ([node(gpus=2.0), node(gpus=2.0)], 1, 4.0),
        ([node(gpus=2.0), node(gpus=2.0)], "auto", 4.0),
        ([node(cpus=2.0)], 3, 1.0),
        ([], "auto", 1.0),
    ],
)
def test_replicas_that_do_not_fit_are_refused_by_the_key(nodes, asked, takes):
    with pytest.raises(ConfigError, match=r"^cluster.replicas: a replica needs"):
        replicas(*nodes, asked=asked, takes=takes)


async def test_a_ray_that_does_not_come_up_is_told_in_one_line(monkeypatch):
    import ray

    def init(**_):
        raise Exception("The current node timed out during startup.\nThis could happen because")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(EngineError, match=r"^Ray could not start: The current node timed out during startup.$"):
        async with connected(Cluster(), config().engine):
            pass


async def test_a_simulated_engine_fits_as_often_as_is_asked_for():
    engine = config().engine
    assert capacity_of(Cluster(replicas=50), engine, [node(cpus=1.0)]).replicas == 50


async def test_an_address_that_does_not_answer_is_refused_by_the_key():
    with pytest.raises(ConfigError, match=r"^cluster.address: no Ray cluster answers at '127.0.0.1:9'"):
        async with connected(Cluster(address="127.0.0.1:9"), Engine()):
            pass


async def test_a_cluster_that_nobody_has_named_is_asked_for_by_both_its_names(monkeypatch):
    import ray

    def init(**_):  # on this machine there may be one of somebody else's
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ConfigError) as caught:
        async with connected(Cluster(address="auto"), Engine()):
            pass
    check_line(str(caught.value), "cluster.address", "RAY_ADDRESS")


async def test_a_ray_started_here_is_small_closed_to_others_silent_and_gone_afterwards(capfd, caplog):
    before = set(psutil.Process().children(recursive=True))
    async with connected(Cluster(replicas=2), config().engine) as found:
        processes = set(psutil.Process().children(recursive=True)) - before
        listening = {
            connection.laddr.ip.removeprefix("::ffff:")
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert found.replicas == 2
        assert set(own_node().all_processes) == {"gcs_server", "raylet"}
        assert listening == {"127.0.0.1"}
    assert not [process for process in processes if process.is_running() and process.status() != "zombie"]
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def tries(monkeypatch, *failures):
    """How often Ray is asked to start, when it fails so, and what is raised in the end."""
    import ray

    asked, failures = [], list(failures)

    def init(**arguments):
        asked.append(arguments)
        if failures:
            raise Exception(failures.pop(0))

    monkeypatch.setattr(ray, "init", init)
    try:
        (await start_ray({})).shutdown()
    except Exception as error:
        return len(asked), str(error)
    return len(asked), None


LATE = "The current node timed out during startup. This could happen because the GCS has become overloaded."


async def test_a_ray_that_does_not_come_up_on_a_busy_machine_is_tried_again(monkeypatch):
    assert await tries(monkeypatch, LATE) == (2, None)
    assert await tries(monkeypatch, *[LATE] * 9) == (TRIES, LATE)
    assert await tries(monkeypatch, "no room for its object store") == (1, "no room for its object store")
