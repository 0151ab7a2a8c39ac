"""What all records of a run share, in a process of its own on the driver's machine: a Ray actor that all workers call.

It is never restarted: its end is the run's, with what is finished safe, and the run that follows reads what was written
down there.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from synth.engines import EngineError

# Of what numpy computes: more of them are no faster here, and spin on the cores that engines need.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class SharedLost(EngineError):
    """What the records share is gone: as with a broken engine, that says nothing of the record. The run can't go on
    without it."""


class SharedProcess:
    """An object of class `kind`, made there of `arguments`. Its coroutines are called here, from any other process too,
    and may raise SharedLost. `name` is for people, `calls` how many may be under way at once: those that wait count
    too. It may be on another machine if it is `anywhere`. Goes to other processes by pickle."""

    def __init__(self, name: str, kind: type, *arguments: Any, calls: int, anywhere: bool = False):
        import ray  # late, because `connected` sets what Ray reads when it is imported
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._name = name
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._actor: Any = (
            ray.remote(kind)
            .options(
                num_cpus=0,
                scheduling_strategy="SPREAD" if anywhere else here,
                max_restarts=0,
                max_concurrency=calls,
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path), **ONE_THREAD}},
            )
            .remote(*arguments)
        )

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_"):  # pickle asks for some
            raise AttributeError(method)
        return partial(self._call, method)

    async def _call(self, method: str, *arguments: Any) -> Any:
        from ray.exceptions import RayError, RayTaskError

        try:
            return await getattr(self._actor, method).remote(*arguments)
        except RayTaskError as error:
            raise SharedLost(f"{self._name}: {error.cause}") from error
        except RayError as error:
            raise SharedLost(f"{self._name}: its process ended; run again to go on") from error

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)
