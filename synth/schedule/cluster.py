"""The Ray cluster of a run: started here and shut down with the run, or an existing one that is joined.

capacity.py computes what its nodes have capacity for.

A cluster that is started here serves this run only. It listens on the loopback address with a secret token, leaves no
files behind, writes no log to the terminal and sends no usage statistics. Ray blocks SIGINT in its processes, so Ctrl-C
does not end them before the workers are done.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from synth.configuration.named_models import ServedModel
from synth.configuration.settings import Cluster
from synth.engines import Engine, EngineError
from synth.errors import ConfigError, reason
from synth.schedule.background import asked
from synth.schedule.capacity import Capacity, NoCapacity, capacity_of
from synth.schedule.ray_life import HEAD_S, own_node
from synth.schedule.scratch import scratch

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 128 * 2**20  # rows travel through files; Ray's default is a third of the memory

ANSWER_S = 10.0
GATHER_S = 10.0  # how long engines on CPU wait for a node each before they share one
NODES_S = 180.0  # the nodes of a cluster that is being started join one by one
TRIES = 3  # of ray.init: its raylet dies if a busy machine does not start its agents within 15 s
_LATE = "timed out during startup"
END_S = 15.0  # for Ray to shut down; without its head it takes 11
KNOWN_S = 1.0  # this node, which places the workers, learns of new nodes a little later than Ray's head

# Environment variables that Ray's processes read at their start.
RAY_ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_raylet_start_wait_time_s": "60",  # takes a second or two, on a busy machine more than Ray's default 30
}
OWN_RAY_ENV = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # one node on its loopback address, as on those systems
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # other users of this machine can reach the loopback address
    "RAY_enable_worker_prestart": "0",  # else Ray starts an unused Python process per core
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",  # engines are this machine's main work
}

# Processes that Ray starts for its dashboard (off), for an autoscaler, and for the driver's log (off): three unused
# Python processes that take two of the four seconds of a start.
_UNUSED = ("start_api_server", "start_monitor", "start_log_monitor")


@asynccontextmanager
async def connected(
    cluster: Cluster, engine: Engine, others: Mapping[str, ServedModel] | None = None
) -> AsyncIterator[Capacity]:
    """Ray, ready for actors. Raises ConfigError if it is not there or lacks capacity, EngineError if it does not start,
    for example on a busy machine."""
    if cluster.metrics_port is not None:
        _refuse_taken(cluster.metrics_port)
    is_own = cluster.address is None
    thread = None
    loop = asyncio.get_running_loop()
    with _environment(RAY_ENV | OWN_RAY_ENV if is_own else RAY_ENV), scratch() if is_own else nullcontext() as folder:
        import ray
        import ray._private.ray_constants as constants
        import ray._private.worker

        # RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER as read at Ray's import, which may have been before it was set here.
        before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, not is_own
        # The raylet prints long messages about dead workers whatever the log level; the scheduler logs them.
        ray._private.worker.listen_error_messages = lambda *_: None
        try:
            try:
                await asyncio.to_thread(_probe, cluster.address or "")
                with _without_unused() if is_own else nullcontext():
                    thread = await start_ray(_arguments(cluster, folder, others or {}))
            except ConnectionError as error:
                at = repr(cluster.address) if cluster.address != "auto" else "RAY_ADDRESS or here: set one of the two"
                raise ConfigError(f"cluster.address: no Ray cluster answers at {at}") from error
            except Exception as error:  # Ray raises plain Exception
                what = "start" if cluster.address is None else f"join the cluster at {cluster.address!r}"
                raise EngineError(f"Ray could not {what}: {reason(error)}") from error
            # Ray replaces the run's SIGTERM handler by one that aborts the process after three seconds.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
            yield await _capacity_soon(cluster, engine, others or {})
        finally:
            if thread is not None:
                await asyncio.wait([loop.run_in_executor(thread, _end)], timeout=END_S)
                thread.shutdown(wait=False)
            constants.ENABLE_RAY_CLUSTER = before


async def start_ray(arguments: dict[str, Any]) -> ThreadPoolExecutor:
    """Start or join Ray. Returns the thread that did: Linux ends Ray's processes when it ends, so it has to stay alive.
    The thread of a failed try is ended, and its processes with it."""
    import ray

    loop = asyncio.get_running_loop()
    tries_left = TRIES
    while True:
        tries_left -= 1
        thread = ThreadPoolExecutor(1, "ray")
        try:
            await loop.run_in_executor(thread, lambda: ray.init(**arguments))
            return thread
        except BaseException as error:
            await asyncio.wait([loop.run_in_executor(thread, _end)], timeout=END_S)
            thread.shutdown(wait=False)
            if _LATE not in str(error) or not tries_left:
                raise
            log.warning("Ray did not start in time; trying again")


@contextmanager
def _without_unused() -> Iterator[None]:
    """Without Ray's unused processes while this is open. If a Ray version names them otherwise, they are started."""
    from ray._private.node import Node

    before = {name: vars(Node)[name] for name in _UNUSED if name in vars(Node)}
    for name in before:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def _end() -> None:
    """End Ray's processes on this machine, even if some are gone already or Ray's shutdown fails."""
    import ray

    node = own_node()
    try:
        ray.shutdown()
    finally:
        if node is not None:
            node.kill_all_processes(check_alive=False)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the cluster is used, except those that the user has set."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


async def _capacity_soon(cluster: Cluster, engine: Engine, others: Mapping[str, ServedModel]) -> Capacity:
    """The capacity of the nodes. If it does not suffice and more nodes may join, waits for them."""

    if cluster.address is None:
        return capacity_of(cluster, engine, await _nodes(), others=others)
    began = time.monotonic()
    while True:
        try:
            found = capacity_of(cluster, engine, await _nodes(), others=others)
            shared = not found.placement.gpus and found.machines < found.replicas
            if not shared or time.monotonic() >= began + GATHER_S:
                await asyncio.sleep(KNOWN_S)
                return found
        except NoCapacity:
            if time.monotonic() >= began + NODES_S:
                raise
        await asyncio.sleep(1)


async def _nodes() -> list[dict[str, Any]]:
    import ray

    try:
        return await asked(ray.nodes, HEAD_S)
    except TimeoutError:
        raise EngineError(f"Ray's head node is gone: no answer for {HEAD_S:g} s") from None


async def capacity_after(
    before: Capacity, cluster: Cluster, engine: Engine, others: Mapping[str, ServedModel]
) -> Capacity:
    """The capacity of the current nodes; `before` while they have none at all."""

    with suppress(ConfigError, EngineError):
        nodes = await _nodes()
        after = capacity_of(cluster, engine, nodes, before.on_gpu, before.placement.nodes > 1, others, before.places)
        await asyncio.sleep(KNOWN_S if after.replicas > before.replicas else 0)
        return after
    return before


def _probe(address: str) -> None:
    """Raises ConnectionError if nothing listens at a host:port. Ray itself would retry for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
        except OSError as error:
            raise ConnectionError(str(error)) from error


def _refuse_taken(port: int) -> None:
    """Ray would go on without metrics, and log that in a file only."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just closed counts as free
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"cluster.metrics_port: cannot listen on port {port} ({error.strerror})") from None


def _arguments(cluster: Cluster, folder: Path | None, others: Mapping[str, ServedModel]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster.address is not None:
        return arguments | {"address": cluster.address}
    wanted = sum(
        1 if one == "auto" else one for one in (cluster.replicas, *(other.replicas for other in others.values()))
    )
    if cluster.metrics_port is not None:
        arguments["_metrics_export_port"] = cluster.metrics_port
    return arguments | {
        "address": "local",  # ignores RAY_ADDRESS
        "num_cpus": max(len(os.sched_getaffinity(0)), wanted),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": str(folder),
    }
