"""The Ray cluster a run uses: one started here and ended with the run, or one that is there already.

A cluster started here listens on the loopback address only, writes no log to the terminal, and sends no usage
statistics.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from synth.config import Cluster, ConfigError
from synth.engines import Engine, Placement


@dataclass(frozen=True)
class Room:
    """What a cluster has for replicas: their number, and what each of them takes."""

    replicas: int
    placement: Placement


@asynccontextmanager
async def connected(cluster: Cluster, engine: Engine) -> AsyncIterator[Room]:
    """Ray, ready for actors. Raises ConfigError when more replicas are asked for than there is room for."""
    _quiet_ray()
    import ray

    wanted = 1 if cluster.replicas == "auto" else cluster.replicas
    arguments: dict[str, object] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster.address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # nothing but this machine can reach it
        cpus = max(len(os.sched_getaffinity(0)), wanted)
        arguments |= {"num_cpus": cpus, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        arguments |= {"address": cluster.address}
    try:
        await asyncio.to_thread(lambda: ray.init(**arguments))
        yield _room(cluster, engine)
    finally:
        await asyncio.to_thread(ray.shutdown)


def _room(cluster: Cluster, engine: Engine) -> Room:
    import ray

    resources = ray.cluster_resources()
    gpus, cpus = resources.get("GPU", 0.0), resources.get("CPU", 0.0)
    nodes = sum(node["Alive"] for node in ray.nodes())
    need = engine.placement(gpus > 0, 0)
    replicas = cluster.replicas
    if replicas == "auto":
        replicas = int(gpus // need.gpus) if need.gpus else nodes
    if replicas < 1 or replicas * need.gpus > gpus:
        raise ConfigError(
            f"cluster.replicas: {max(1, replicas)} of {need.gpus:g} GPU(s) each do not fit: the cluster has {gpus:g}"
        )
    if replicas * need.cpus > cpus:
        raise ConfigError(f"cluster.replicas: {replicas} do not fit: the cluster has {cpus:g} CPUs")
    beside = -(-replicas // nodes) - 1
    return Room(replicas, engine.placement(gpus > 0, beside))


def _quiet_ray() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
