"""The pool in a process of its own, on the driver's machine: one Ray actor that all workers call.

It is never restarted: its end is the run's, with what is finished safe, and the run that follows reads its decisions.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from synth.schedule.pool import GrowingPool
from synth.steps.pool import PoolLost, PoolRules
from synth.storage.decisions import Decisions
from synth.storage.run_folder import RunFolder


class _Actor:
    """GrowingPool's own coroutines. `settled` are records that committed shards hold."""

    def __init__(self, rules: PoolRules, run_dir: str, settled: Sequence[range]):
        self._pool = GrowingPool(rules, Decisions(RunFolder(Path(run_dir)).pool))
        self._settled = settled

    async def start(self) -> None:
        for numbers in self._settled:
            await self._pool.passed(numbers)

    async def accepted(self, below: int, known: int) -> tuple[int, list[str]]:
        return await self._pool.accepted(below, known)

    async def offer(self, number: int, texts: Sequence[str]) -> list[bool]:
        return await self._pool.offer(number, texts)

    async def passed(self, numbers: Sequence[int]) -> None:
        await self._pool.passed(numbers)


class RayPool:
    """A SharedPool whose pool is a Ray actor. Goes to other processes by pickle."""

    def __init__(self, rules: PoolRules, run_dir: Path, settled: Sequence[range]):
        import ray  # late, because `connected` sets what Ray reads when it is imported
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = ray.get_runtime_context().get_node_id()
        self._actor: Any = (
            ray.remote(_Actor)
            .options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
                max_restarts=0,
                max_concurrency=1000 + 4 * rules.lag,  # calls that wait count too
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
            )
            .remote(rules, str(run_dir), settled)
        )

    async def start(self) -> None:
        """Returns when it is there, with all its decisions read."""
        await self._call("start")

    async def accepted(self, below: int, known: int) -> tuple[int, list[str]]:
        end, texts = await self._call("accepted", below, known)
        return end, texts

    async def offer(self, number: int, texts: Sequence[str]) -> list[bool]:
        decided: list[bool] = await self._call("offer", number, list(texts))
        return decided

    async def passed(self, numbers: Iterable[int]) -> None:
        await self._call("passed", list(numbers))

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)

    async def _call(self, method: str, *arguments: Any) -> Any:
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return await getattr(self._actor, method).remote(*arguments)
        except RayActorError as error:
            raise PoolLost("the pool's process ended; run again to go on") from error
        except RayTaskError as error:
            raise PoolLost(str(error.cause)) from error
