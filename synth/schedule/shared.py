"""An object that all records of a run share, in a Ray actor on the driver's machine that all workers call.

It is never restarted: the run ends with it, finished records are safe, and the resumed run reads its state from disk.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from synth.engines import EngineError

# Threads of numpy: more are no faster here, and they spin on the cores that engines need.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class SharedLost(EngineError):
    """The process with the shared object ended. The run can't go on without it; as with a broken engine, the record is
    not to blame."""


class SharedProcess:
    """An object of class `kind`, created there from `arguments`. Its coroutines can be called here and, after pickling,
    in any other process; they raise SharedLost. `name` is for messages. `calls` is the limit of concurrent calls,
    waiting ones included. With `anywhere` it may be on another machine."""

    def __init__(self, name: str, kind: type, *arguments: Any, calls: int, anywhere: bool = False):
        import ray  # late: `connected` sets variables that Ray reads at import
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
        if method.startswith("_"):  # pickle looks some of these up
            raise AttributeError(method)
        return partial(self._call, method)

    async def _call(self, method: str, *arguments: Any) -> Any:
        from ray.exceptions import RayError, RayTaskError

        try:
            return await getattr(self._actor, method).remote(*arguments)
        except RayTaskError as error:
            raise SharedLost(f"{self._name}: {error.cause}") from error
        except RayError as error:
            raise SharedLost(f"{self._name}: its process ended; run again to resume") from error

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)
