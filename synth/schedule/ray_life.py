"""Watches the Ray of a run: its head, its processes on this machine, and this machine's membership.

Without Ray, calls wait for a minute or for ever, and lost workers wait for capacity that never comes. Nodes may come
and go. The end of a process that was started here is noticed at once, everything else by polling Ray's head.
"""

import asyncio
from typing import Any, NoReturn

from synth.errors import reason
from synth.schedule.background import asked

LOOK_S = 0.5  # between checks of the processes on this machine
ASK_S = 2.0  # between calls to Ray's head
HEAD_S = 20.0  # without an answer the head counts as gone; Ray itself gives up after a minute


class RayLost(RuntimeError):
    """Ray is gone and with it all workers; the run ends, and finished records are safe."""


async def until_lost() -> NoReturn:
    """Raises RayLost when Ray is gone. Ray must be connected."""
    try:
        async with asyncio.TaskGroup() as looks:
            looks.create_task(_until_a_process_is_gone())
            looks.create_task(_until_the_head_is_gone())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    raise AssertionError


async def _until_a_process_is_gone() -> None:
    """Watches the processes of a Ray that was started here. Returns at once for any other."""
    node = own_node()
    while node is not None:
        for name, _ in node.dead_processes():
            if name in ("raylet", "gcs_server"):
                raise RayLost(f"Ray's {name} on this machine ended")
        await asyncio.sleep(LOOK_S)


async def _until_the_head_is_gone() -> None:
    import ray

    here = ray.get_runtime_context().get_node_id()
    while True:
        await asyncio.sleep(ASK_S)
        try:
            nodes = await asked(ray.nodes, HEAD_S)
        except Exception as error:
            why = f"no answer for {HEAD_S:g} s" if isinstance(error, TimeoutError) else reason(error)
            raise RayLost(f"Ray's head node is gone: {why}") from error
        if not any(node["NodeID"] == here and node["Alive"] for node in nodes):
            raise RayLost("this machine is no longer a node of the Ray cluster")


def own_node() -> Any:
    """Ray's processes on this machine if this process started them, else None."""
    import ray._private.worker

    node = ray._private.worker._global_node
    return node if node is not None and node.all_processes else None
