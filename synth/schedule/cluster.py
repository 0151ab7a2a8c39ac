"""The Ray cluster a run uses: one started here and ended with the run, or one that is there already.

A replica has its GPUs on one machine where any machine has room for it. Where none has, its parts, such as the stages
of a pipeline, are on several; and then so are those of all replicas, as long as the run lasts.

A cluster started here is for this run alone: it listens on the loopback address only, behind a secret of its own,
and leaves nothing behind in the file system. It writes no log to the terminal and sends no usage statistics. Its
processes don't hear Ctrl-C (Ray blocks SIGINT in them), so they are there until the workers are done with them.
"""

import asyncio
import logging
import math
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synth.config import Cluster, ConfigError
from synth.engines import Engine, EngineError, Placement
from synth.errors import reason
from synth.schedule.background import asked
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


class NoRoom(ConfigError):
    """What is asked for is more than there is, so far."""


@dataclass(frozen=True)
class Room:
    """What a cluster has for replicas: their number, what each of them takes, whether that is GPUs, and how many of its
    machines have room for any.

    Only where a replica has to be on several machines, `placement` has several parts.
    """

    replicas: int
    placement: Placement
    on_gpu: bool
    machines: int


@asynccontextmanager
async def connected(cluster: Cluster, engine: Engine) -> AsyncIterator[Room]:
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
                await asyncio.to_thread(_knock, cluster.address or "")
                thread = await _started(_arguments(cluster, folder))
            except ConnectionError as error:
                at = repr(cluster.address) if cluster.address != "auto" else "RAY_ADDRESS or here: set one of the two"
                raise ConfigError(f"cluster.address: no Ray cluster answers at {at}") from error
            except Exception as error:  # Ray raises plain Exceptions
                what = "start" if cluster.address is None else f"join the cluster at {cluster.address!r}"
                raise EngineError(f"Ray could not {what}: {reason(error)}") from error
            # Ray puts a handler over the run's own that aborts the process three seconds after a SIGTERM.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
            yield await _room_soon(cluster, engine)
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


async def _room_soon(cluster: Cluster, engine: Engine) -> Room:
    """The room there is. Where it does not suffice, further nodes are waited for, if there may be any."""

    if cluster.address is None:
        return room(cluster, engine, await _nodes())
    began = time.monotonic()
    while True:
        try:
            found = room(cluster, engine, await _nodes())
            shared = not found.placement.gpus and found.machines < found.replicas
            if not shared or time.monotonic() >= began + GATHER_S:
                await asyncio.sleep(KNOWN_S)
                return found
        except NoRoom:
            if time.monotonic() >= began + NODES_S:
                raise
        await asyncio.sleep(1)


async def _nodes() -> list[dict[str, Any]]:
    import ray

    try:
        return await asked(ray.nodes, HEAD_S)
    except TimeoutError:
        raise EngineError(f"Ray's head is gone: no answer for {HEAD_S:g} s") from None


async def room_after(before: Room, cluster: Cluster, engine: Engine) -> Room:
    """The same for the nodes that are there now. While they have no room at all, all stays as it was."""

    with suppress(ConfigError, EngineError):
        nodes = await _nodes()
        after = room(cluster, engine, nodes, before.on_gpu, before.placement.parts > 1)
        await asyncio.sleep(KNOWN_S if after.replicas > before.replicas else 0)
        return after
    return before


def room(
    cluster: Cluster, engine: Engine, nodes: list[dict[str, Any]], on_gpu: bool = False, apart: bool = False
) -> Room:
    """How many replicas run on these nodes, as `ray.nodes()` tells of them, and how. Raises NoRoom, or ConfigError for
    what more nodes would not change.

    Where there is any GPU, or a run began on some (`on_gpu`), they run on GPUs only. Where one began with its replicas'
    parts on machines of their own (`apart`), it stays at that.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    on_gpu = on_gpu or any(machine.get("GPU", 0) for machine in machines)
    need = engine.placement(on_gpu, 0)
    if need.gpus and not on_gpu:
        raise NoRoom(f"cluster: the engine takes a GPU, and Ray finds none on {len(machines)} machine(s)")
    fits = _fits(machines, need)
    most = sum(fits)
    parts = need.parts if apart or not fits else 1
    if parts > 1:
        fits = _fits(machines, replace(need, gpus=need.gpus / parts))
        most = sum(fits) // parts
    replicas = cluster.replicas
    if replicas == "auto":  # as many as fill the GPUs; an engine on a CPU fills its whole machine
        replicas = int(most) if need.gpus else len(fits)
    if not 1 <= replicas <= most:
        takes = f"{need.gpus:g} GPU(s)" if need.gpus else f"{need.cpus:g} CPU(s)"
        of = f"of one machine or of {parts} each" if parts > 1 else "of one machine each"
        raise NoRoom(f"cluster.replicas: there is room for {most:g} that take {takes} {of}, not for {max(1, replicas)}")
    beside = math.ceil(replicas / len(fits)) - 1
    return Room(replicas, replace(engine.placement(on_gpu, beside), parts=parts), on_gpu, len(fits))


def _fits(machines: list[Mapping[str, float]], need: Placement) -> list[float]:
    """How many of these each machine has room for, of those that have any."""
    return [fit for machine in machines if (fit := _fit(machine, need)) >= 1]


def _fit(machine: Mapping[str, float], need: Placement) -> float:
    """How many replicas one machine has room for. One that offers neither GPUs nor CPUs has none."""
    if not machine.get("GPU", 0) and not machine.get("CPU", 0):
        return 0
    needs = {"GPU": need.gpus, "CPU": need.cpus}
    return min((machine.get(name, 0) // amount for name, amount in needs.items() if amount), default=math.inf)


def _knock(address: str) -> None:
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


def _arguments(cluster: Cluster, folder: Path | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster.address is not None:
        return arguments | {"address": cluster.address}
    wanted = 1 if cluster.replicas == "auto" else cluster.replicas
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
