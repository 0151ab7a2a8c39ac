"""The replicas of a run: as many as are wanted, each kept alive by a task of its own.

Promises: missing replicas are started, and surplus ones removed, those without a running engine first. A replica
that is given up is not started again; the run ends with the last one. A removed replica is awaited, so that its worker
writes its finished records.

The scheduler defines what a replica does, and how its worker is stopped.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from synth.engines import EngineError
from synth.schedule.conditions import Conditions
from synth.schedule.shared import SharedLost
from synth.schedule.worker_handle import WorkerHandle, WorkerLost

log = logging.getLogger(__name__)


class Replicas:
    """`keep_alive` runs a replica and raises when it is given up; `leave` stops the worker of a removed one. `workers`
    are those with a running engine, by replica, in the order of their start."""

    def __init__(
        self,
        target: int,
        keep_alive: Callable[[int], Coroutine[Any, Any, None]],
        leave: Callable[[int], Awaitable[None]],
        workers: Mapping[int, WorkerHandle],
        changes: Conditions,
    ):
        self.target = target
        self._keep_alive, self._leave, self._workers, self._changes = keep_alive, leave, workers, changes
        self._started = 0  # replicas so far, ended ones included
        self._given_up = 0
        self._running: dict[int, asyncio.Task[None]] = {}
        self._to_go: set[int] = set()  # replicas to remove first
        self._leaving: set[asyncio.Task[None]] = set()
        self._reported: set[str] = set()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def kept(self) -> list[int]:
        """The replicas that will stay, in order of their start."""
        return list(self._running)

    @property
    def leaving(self) -> Iterable[asyncio.Task[None]]:
        """The tasks of removed replicas, until their workers have stopped."""
        return tuple(self._leaving)

    def resize(self, target: int, leaving: Sequence[int] = ()) -> None:
        """Set the target number of replicas. Those in `leaving` are removed in any case."""
        self._to_go |= set(leaving) & self._running.keys()
        if self._to_go:
            self._changes.announce()
        if target != self.target:
            # A lost node may have been that of a replica that was given up.
            self._given_up = max(0, self._given_up - max(0, self.target - target))
            self.target = target
            self._changes.announce()

    async def keep(self, *ends: asyncio.Task[Any]) -> BaseException | None:
        """Keep the target number of replicas, until one of `ends` is done or a returned exception ends the run."""
        while True:
            self._adapt()
            resized = asyncio.create_task(
                self._changes.until(lambda: bool(self._to_go) or len(self._running) != self._to_be_kept)
            )
            try:
                await asyncio.wait([*ends, resized, *self._running.values()], return_when=asyncio.FIRST_COMPLETED)
            finally:
                resized.cancel()
            for index, task in list(self._running.items()):
                if task.done():
                    failure = task.exception()
                    if not isinstance(failure, WorkerLost | EngineError) or isinstance(failure, SharedLost):
                        return failure
                    self._give_up(index)
                    if not self._running:
                        return failure  # the run reports it
                    if shape(failure) not in self._reported:  # log an error once if it is the same for all replicas
                        log.warning("replica %d is given up: %s", index, failure)
                    self._reported.add(shape(failure))
            if any(end.done() for end in ends):
                return None

    async def end(self) -> None:
        """Cancel all replicas."""
        tasks = (*self._running.values(), *self._leaving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _adapt(self) -> None:
        """Remove and start replicas until their number is right."""
        while self._to_go:
            self._withdraw(self._to_go.pop())
        while len(self._running) < self._to_be_kept:
            self._running[self._started] = asyncio.create_task(self._keep_alive(self._started))
            self._started += 1
        while len(self._running) > self._to_be_kept:
            # Without a running engine first, else the last one that started.
            idle = [index for index in self._running if index not in self._workers]
            self._withdraw(idle[-1] if idle else [worker for worker in self._workers if worker in self._running][-1])

    @property
    def _to_be_kept(self) -> int:
        """Wanted replicas less those given up, but at least 1: the run ends with the last one."""
        return max(1, self.target - self._given_up)

    def _give_up(self, index: int) -> None:
        del self._running[index]
        self._to_go.discard(index)
        self._given_up += 1
        self._changes.announce()

    def _withdraw(self, index: int) -> None:
        """Remove a replica; its worker writes its finished records."""
        replica = self._running.pop(index)
        replica.cancel()

        async def leave() -> None:
            await asyncio.gather(replica, return_exceptions=True)
            await self._leave(index)

        leaving = asyncio.create_task(leave())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


def shape(error: BaseException) -> str:
    """The message without numbers: sizes, ports and process ids differ from try to try."""
    return re.sub(r"\d+", "#", str(error))
