"""The worker as the scheduler sees it, in any process: eight coroutines, and the error when it is gone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from synth.records import Shard
from synth.schedule.counters import Counters
from synth.schedule.ends import End
from synth.schedule.needed import Needed
from synth.storage.shard import ShardSummary


class WorkerLost(RuntimeError):
    """The worker's process is gone or its engine is broken: its shards must be leased again."""


class WorkerHandle(Protocol):
    """A worker in any process. Each call may raise WorkerLost or EngineError."""

    async def start(self) -> None: ...

    async def run(
        self, shard: Shard, numbers: Collection[int] | None = None, poison: Mapping[int, str] | None = None
    ) -> ShardSummary | None: ...

    async def wants_work(self) -> None: ...

    async def poll(self, seen: int, needed: Needed) -> Sequence[End]: ...

    async def probe(self, seconds: float) -> None: ...

    async def counters(self) -> Counters: ...

    async def stop(self) -> Counters: ...

    async def kill(self) -> None: ...
