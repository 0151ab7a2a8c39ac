"""The capacity of a cluster's nodes: how many replicas of main and how many engines of other models fit.

With several models on whole GPUs, places.py assigns each engine to a node. Otherwise engines are only counted, and Ray
places them.

A replica's GPUs are on one node if any node has enough of them. If none has, all replicas of the run span several
nodes, with a pipeline's stages on each.

If there are fewer GPUs than engines, the engines that take one GPU share it, as far as their configured shares of GPU
memory allow.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from synth.configuration.named_models import ServedModel
from synth.configuration.settings import Cluster
from synth.engines import Lifecycle, Placement
from synth.errors import ConfigError
from synth.schedule.places import Places, Share
from synth.steps.endpoints import MAIN

MAIN_KEY = "cluster"


class NoCapacity(ConfigError):
    """The nodes do not have the requested capacity yet."""


@dataclass(frozen=True)
class Capacity:
    """The number of replicas, the resources of each, whether they run on GPUs, and the number of nodes with capacity
    for at least one. `others` has number and resources of the engines of each model beside main.

    `placement` has several nodes only if a replica must span nodes. `places` is set only if nodes are assigned here.
    """

    replicas: int
    placement: Placement
    on_gpu: bool
    machines: int
    others: Mapping[str, tuple[int, Placement]] = field(default_factory=dict)
    places: Places | None = None

    def nodes(self, model: str) -> Counter[str | None]:
        """The number of engines of a model per node; key None: Ray chooses the node."""
        if self.places and model in self.places.at:
            return Counter({node: count for node, count in self.places.at[model].items() if count})
        return Counter({None: self.replicas if model == MAIN else self.others[model][0]})

    def with_places(self, places: Places) -> "Capacity":
        """A copy with the engines at `places`."""
        others = {
            name: (places.count(name) if name in places.at else count, placement)
            for name, (count, placement) in self.others.items()
        }
        return replace(self, replicas=places.count(MAIN), others=others, places=places)


def capacity_of(
    cluster: Cluster,
    engine: Lifecycle,
    nodes: Sequence[Mapping[str, Any]],
    on_gpu: bool = False,
    apart: bool = False,
    others: Mapping[str, ServedModel] | None = None,
    before: Places | None = None,
) -> Capacity:
    """The capacity of these nodes (as from `ray.nodes()`). Raises NoCapacity, or ConfigError if more nodes would not
    help.

    With any GPU in the cluster, or a run that began on GPUs (`on_gpu`), replicas run on GPUs only. A run that began
    with replicas spanning nodes (`apart`) keeps doing so. Engines placed `before` stay where they are while their nodes
    exist.
    """
    others = others or {}
    machines = [dict(node["Resources"]) for node in nodes if node["Alive"]]
    on_gpu = on_gpu or any(machine.get("GPU", 0) for machine in machines)
    engines = {MAIN_KEY: engine, **{f"models.{name}": one.engine for name, one in others.items()}}
    needs = {key: one.placement(on_gpu, 0) for key, one in engines.items()}
    if not on_gpu and (key := next((key for key, need in needs.items() if need.gpus), None)):
        raise NoCapacity(f"{key}: the engine needs a GPU, and Ray finds none on {len(machines)} node(s)")
    on_whole_gpus = {name: one for name, one in others.items() if needs[f"models.{name}"].gpus >= 1}
    # Models behind a server need no capacity here.
    if on_whole_gpus and not apart and needs[MAIN_KEY].gpus >= 1 and not any(need.cpus for need in needs.values()):
        there = {node["NodeID"]: node["Resources"].get("GPU", 0.0) for node in nodes if node["Alive"]}
        places = _placed(cluster, needs, there, on_whole_gpus, before)
        if places:
            placed = {key: replace(one.placement(on_gpu, 0), nodes=1) for key, one in engines.items()}
            counted = {name: (one.least, placed[f"models.{name}"]) for name, one in others.items()}
            on = sum(1 for count in places.at[MAIN].values() if count)
            return Capacity(0, placed[MAIN_KEY], on_gpu, on, counted).with_places(places)
        if before:
            raise NoCapacity("cluster: the nodes that are left have no capacity for an engine of each model")
    try:
        return _capacity(cluster, engines, needs, machines, on_gpu, apart, others)
    except NoCapacity:
        if not others or not on_gpu or not all(need.share for need in needs.values() if need.gpus):
            raise
    shares = {key: replace(need, gpus=need.share or 0) for key, need in needs.items()}
    try:
        found = _capacity(cluster, engines, shares, list(_each_gpu(machines)), on_gpu, apart, others)
        return replace(found, machines=len(_fits(machines, needs[MAIN_KEY])))
    except NoCapacity as full:
        by_key = ", ".join(f"{_setting(key)}={need.share:g}" for key, need in needs.items() if need.share)
        raise NoCapacity(
            f"{full}; engines that share a GPU need memory shares of at most 1 together: {by_key}"
        ) from None


def _placed(
    cluster: Cluster,
    needs: Mapping[str, Placement],
    nodes: Mapping[str, float],
    others: Mapping[str, ServedModel],
    before: Places | None,
) -> Places | None:
    """None if no node has capacity for an engine."""
    least = 1 if cluster.replicas == "auto" else cluster.replicas
    shares = {MAIN: Share(needs[MAIN_KEY].gpus, least, cluster.replicas == "auto")}
    for name, one in others.items():
        shares[name] = Share(needs[f"models.{name}"].gpus, one.least, one.replicas == "auto")
    places = before.copy() if before else Places(shares)
    return None if places.follow(nodes, MAIN) else places


def _each_gpu(machines: Sequence[Mapping[str, float]]) -> Iterator[dict[str, float]]:
    """Each GPU with its share of the cores: an engine with a fraction of a GPU can't be split over two."""
    for machine in machines:
        count = int(machine.get("GPU", 0))
        yield from ({"GPU": 1.0, "CPU": machine.get("CPU", 0) / count} for _ in range(count))


def _setting(key: str) -> str:
    return f"{'' if key == MAIN_KEY else f'{key}.'}engine.gpu_memory_utilization"


def _capacity(
    cluster: Cluster,
    engines: Mapping[str, Lifecycle],
    needs: Mapping[str, Placement],
    machines: Sequence[Mapping[str, float]],
    on_gpu: bool,
    apart: bool,
    others: Mapping[str, ServedModel],
) -> Capacity:
    """Main gets the capacity that the other models leave."""
    free = [dict(machine) for machine in machines]
    counts: dict[str, int] = {}
    for name, one in others.items():
        key = f"models.{name}"
        counts[key] = one.least
        for number in range(counts[key]):
            if not _take(free, needs[key]):
                raise NoCapacity(
                    f"{key}.replicas: an engine needs {_amount(needs[key])} on one node, "
                    f"and the nodes have that free for {number} of {counts[key]}"
                )
    need = needs[MAIN_KEY]
    fits = _fits(free, need)
    most = sum(fits)
    on_nodes = need.nodes if apart or not fits else 1
    if on_nodes > 1:
        fits = _fits(free, replace(need, gpus=need.gpus / on_nodes))
        most = sum(fits) // on_nodes
    replicas = cluster.replicas
    if replicas == "auto":  # one per GPU slot; an engine on CPU takes its whole node
        replicas = int(most) if need.gpus else len(fits)
    if not 1 <= replicas <= most:
        on = f"on one node or on {on_nodes} together" if on_nodes > 1 else "on one node"
        beside_others = f" beside {sum(counts.values())} engine(s) of other models" if counts else ""
        raise NoCapacity(
            f"cluster.replicas: a replica needs {_amount(need)} {on}, "
            f"and the nodes have that free for {most:g} of {max(1, replicas)}{beside_others}"
        )
    beside = math.ceil((replicas + sum(counts.values())) / max(1, len(_fits(machines, need)))) - 1
    placed = {
        key: replace(one.placement(on_gpu, beside), gpus=needs[key].gpus, nodes=on_nodes if key == MAIN_KEY else 1)
        for key, one in engines.items()
    }
    return Capacity(
        replicas,
        placed[MAIN_KEY],
        on_gpu,
        len(fits),
        {name: (counts[f"models.{name}"], placed[f"models.{name}"]) for name in others},
    )


def _amount(need: Placement) -> str:
    return f"{need.gpus:g} GPU(s)" if need.gpus else f"{need.cpus:g} CPU(s)"


def _take(machines: Sequence[dict[str, float]], need: Placement) -> bool:
    """Take the resources from the node with the most left. Returns whether any node had capacity."""
    best = max(machines, key=lambda machine: _fit(machine, need), default={})
    if _fit(best, need) < 1:
        return False
    for name, amount in (("GPU", need.gpus), ("CPU", need.cpus)):
        if amount:
            best[name] -= amount
    return True


def _fits(machines: Sequence[Mapping[str, float]], need: Placement) -> list[float]:
    """How many fit on each node, for nodes where at least one fits."""
    return [fit for machine in machines if (fit := _fit(machine, need)) >= 1]


def _fit(machine: Mapping[str, float], need: Placement) -> float:
    """How many replicas fit on one node; 0 if it offers neither GPUs nor CPUs."""
    if not machine.get("GPU", 0) and not machine.get("CPU", 0):
        return 0
    needs = {"GPU": need.gpus, "CPU": need.cpus}
    # In floating point 0.6 + 0.3 is a little more than 0.9.
    rooms = ((machine.get(name, 0) + 1e-6) // amount for name, amount in needs.items() if amount)
    return min(rooms, default=math.inf)
