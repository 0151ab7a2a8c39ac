"""The Ray cluster a run uses: one started here and ended with the run, or one that is there already.

What its nodes have capacity for is computed by capacity.py.

A cluster started here is for this run alone: it listens on the loopback address only, behind a secret of its own,
and leaves nothing behind in the file system. It writes no log to the terminal and sends no usage statistics. Its
processes don't hear Ctrl-C (Ray blocks SIGINT in them), so they are there until the workers are done with them.
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

from synth.configuration.config import Cluster, ConfigError
from synth.configuration.named_models import ServedModel
from synth.engines import Engine, EngineError
from synth.errors import reason
from synth.schedule.background import asked
from synth.schedule.capacity import Capacity, NoCapacity, capacity_of
from synth.schedule.ray_life import HEAD_S, own_node
from synth.schedule.scratch import scratch

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 128 * 2**20  # rows travel through files; Ray's own default is a third of the machine

ANSWER_S = 10.0
GATHER_S = 10.0  # how long engines on CPUs wait for machines of their own before they share one
NODES_S = 180.0  # the nodes of a cluster that has only just been started come one by one
TRIES = 3  # to start a Ray: its raylet dies where a busy machine does not start the agents beside it within 15 s
_LATE = "timed out during startup"
END_S = 15.0  # for Ray to end; where its head is gone it takes 11
KNOWN_S = 1.0  # and this node, which places the workers, hears of them a little later than Ray's head

# Read by Ray's processes when they start.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_raylet_start_wait_time_s": "60",  # a second or two, but on a busy machine more than Ray's own 30
}
_ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as on those systems: one machine, on its loopback address
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # other users of this machine reach that address too
    "RAY_enable_worker_prestart": "0",  # else a Python process for each core, and none of them is used
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",  # engines are what this machine is to work on
}

# What a Ray starts for its dashboard, which is off, for machines that it could ask for, and for a terminal, which is
# told nothing: three Python processes that a run has no use for, and two of the four seconds that a start took.
_UNUSED = ("start_api_server", "start_monitor", "start_log_monitor")


@asynccontextmanager
async def connected(
    cluster: Cluster, engine: Engine, others: Mapping[str, ServedModel] | None = None
) -> AsyncIterator[Capacity]:
    """Ray, ready for actors. Raises ConfigError when it is not there or has less room than is asked for, EngineError
    when it does not come up, on a machine that is too busy for instance."""
    if cluster.metrics_port is not None:
        _refuse_taken(cluster.metrics_port)
    is_own = cluster.address is None
    thread = None
    loop = asyncio.get_running_loop()
    with _told(_QUIET | _ALONE if is_own else _QUIET), scratch() if is_own else nullcontext() as folder:
        import ray
        import ray._private.ray_constants as constants
        import ray._private.worker

        # What RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER said when Ray was imported, which may have been before this.
        before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, not is_own
        # It prints what the raylet says of dead workers, long and whatever is asked; the scheduler tells of them.
        ray._private.worker.listen_error_messages = lambda *_: None
        try:
            try:
                await asyncio.to_thread(_probe, cluster.address or "")
                with _without_unused() if is_own else nullcontext():
                    thread = await _started(_arguments(cluster, folder, others or {}))
            except ConnectionError as error:
                at = repr(cluster.address) if cluster.address != "auto" else "RAY_ADDRESS or here: set one of the two"
                raise ConfigError(f"cluster.address: no Ray cluster answers at {at}") from error
            except Exception as error:  # Ray raises plain Exceptions
                what = "start" if cluster.address is None else f"join the cluster at {cluster.address!r}"
                raise EngineError(f"Ray could not {what}: {reason(error)}") from error
            # Ray puts a handler over the run's own that aborts the process three seconds after a SIGTERM.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
            yield await _capacity_soon(cluster, engine, others or {})
        finally:
            if thread is not None:
                await asyncio.wait([loop.run_in_executor(thread, _end)], timeout=END_S)
                thread.shutdown(wait=False)
            constants.ENABLE_RAY_CLUSTER = before


async def _started(arguments: dict[str, Any]) -> ThreadPoolExecutor:
    """Starts or joins Ray. Returns the thread that did: Linux ends Ray's processes together with it, so it has to stay.
    With that of a failed try goes what has come of it."""
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
            log.warning("Ray did not start in time, on a busy machine perhaps; it is tried again")


@contextmanager
def _without_unused() -> Iterator[None]:
    """A Ray that is started meanwhile has fewer processes. One that calls them otherwise has them all."""
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
    """Ray's processes of this machine end too where some of them are gone already, and whatever Ray makes of that."""
    import ray

    node = own_node()
    try:
        ray.shutdown()
    finally:
        if node is not None:
            node.kill_all_processes(check_alive=False)


@contextmanager
def _told(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for as long as the cluster is used, but for those that the user has set."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


async def _capacity_soon(cluster: Cluster, engine: Engine, others: Mapping[str, ServedModel]) -> Capacity:
    """The room there is. Where it does not suffice, further nodes are waited for, if there may be any."""

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
        raise EngineError(f"Ray's head is gone: no answer for {HEAD_S:g} s") from None


async def capacity_after(
    before: Capacity, cluster: Cluster, engine: Engine, others: Mapping[str, ServedModel]
) -> Capacity:
    """The same for the nodes that are there now. While they have no room at all, all stays as it was."""

    with suppress(ConfigError, EngineError):
        nodes = await _nodes()
        after = capacity_of(cluster, engine, nodes, before.on_gpu, before.placement.nodes > 1, others, before.places)
        await asyncio.sleep(KNOWN_S if after.replicas > before.replicas else 0)
        return after
    return before


def _probe(address: str) -> None:
    """Raises ConnectionError where nothing listens at a host:port. Ray itself would try for many minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
        except OSError as error:
            raise ConnectionError(str(error)) from error


def _refuse_taken(port: int) -> None:
    """Ray would do without its metrics, and say so in a log of its own."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is only just closed is free
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"cluster.metrics_port: {port} can't be listened at ({error.strerror})") from None


def _arguments(cluster: Cluster, folder: Path | None, others: Mapping[str, ServedModel]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster.address is not None:
        return arguments | {"address": cluster.address}
    wanted = sum(1 if one == "auto" else one for one in (cluster.replicas, *(one.replicas for one in others.values())))
    if cluster.metrics_port is not None:
        arguments["_metrics_export_port"] = cluster.metrics_port
    return arguments | {
        "address": "local",  # whatever RAY_ADDRESS says
        "num_cpus": max(len(os.sched_getaffinity(0)), wanted),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": str(folder),
    }
