"""The pool that all records of a run share, grown in the order of their numbers.

Record n's texts are compared with the seeds, with what the records below n had accepted, and with its own earlier
ones. So they are decided when all lower records are: those that offered, and those that ended without (`passed`). A
record begins when the one `lag` numbers before it is decided, and sees what the records up to that one had accepted.
Hence the pool is a function of what each record offers and of nothing else: not of the number of workers, their
timing, or the shards. Decisions are on disk before anyone hears of them; a record that comes again, because its worker
or the run was lost, is told what was decided then.

Whoever waits here waits for lower numbers only. So nothing is stuck as long as the lowest undecided record can run:
a waiting record has no slot of its worker's (see `Ticket`), and lower numbers are leased and launched first.

Plain asyncio: in a run it is a process of its own (shared.py).
"""

import asyncio
import heapq
import itertools
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from synth.own_time import ours
from synth.quality.novelty import Novelty
from synth.schedule.priority_semaphore import Slot
from synth.schedule.shared import SharedLost
from synth.steps.pool import PoolRules
from synth.storage.decisions import Decisions
from synth.storage.run_folder import RunFolder


class SharedPool(Protocol):
    """The pool as workers see it, wherever it is. Each call may raise SharedLost."""

    async def decided(self) -> int: ...

    async def accepted(self, below: int, known: int) -> tuple[int, list[str]]: ...

    async def offer(self, number: int, texts: Sequence[str]) -> list[bool]: ...

    async def passed(self, numbers: Iterable[int]) -> None: ...


class GrowingPool:
    """The pool itself, from where its decisions left it."""

    def __init__(self, rules: PoolRules, decisions: Decisions):
        self._novelty = Novelty(rules.threshold, rules.seeds)
        self._decisions = decisions
        self._accepted: list[str] = []
        self._ends = [0]  # _ends[n]: how many texts the records below n had accepted
        for texts in decisions.found:
            for text in texts:
                self._add(text)
            self._ends.append(len(self._accepted))
        self._safe = self._next  # the records below it have their decisions on disk
        self._offers: dict[int, Sequence[str]] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()
        self._deciding: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def decided(self) -> int:
        """How many of the first records have their decisions on disk."""
        return self._safe

    async def accepted(self, below: int, known: int) -> tuple[int, list[str]]:
        """When all records below `below` are decided: how many texts they had accepted, and those from `known` on."""
        await self._until(below)
        end = self._ends[max(0, below)]
        return end, self._accepted[known:end]

    async def offer(self, number: int, texts: Sequence[str]) -> list[bool]:
        """Which of a record's texts are accepted, when all lower records are decided."""
        self._put(number, texts)
        await self._until(number + 1)
        left = set(self._accepted[self._ends[number] : self._ends[number + 1]])
        decided = []
        for text in texts:
            decided.append(text in left)
            left.discard(text)
        return decided

    async def passed(self, numbers: Iterable[int]) -> None:
        """These records are finished: where one has not offered, it won't."""
        for number in numbers:
            self._put(number, [])

    @property
    def _next(self) -> int:
        """The lowest record that is not decided."""
        return len(self._ends) - 1

    def _put(self, number: int, texts: Sequence[str]) -> None:
        if number >= self._next:
            self._offers.setdefault(number, texts)
            if self._deciding is None or self._deciding.done():
                self._deciding = asyncio.create_task(self._decide())

    async def _decide(self) -> None:
        """All that can be decided. While it is written down the next offers come in: one write is for many."""
        while self._next in self._offers and self._failure is None:
            try:
                decided = []
                while (texts := self._offers.pop(self._next, None)) is not None:
                    decided.append([text for text in texts if self._novelty.is_novel(text) and self._add(text)])
                    self._ends.append(len(self._accepted))
                await asyncio.to_thread(self._decisions.append, decided)
                self._safe = self._next
            except Exception as error:  # all who wait here hear of it
                self._failure = error
            self._wake()

    def _add(self, text: str) -> bool:
        self._novelty.add(text)
        self._accepted.append(text)
        return True

    async def _until(self, below: int) -> None:
        """Returns when all records below are decided."""
        if below > self._safe and self._failure is None:
            decided = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (below, next(self._ticket), decided))
            await decided
        if self._failure is not None:
            raise SharedLost(f"the pool can't decide, or write it down: {self._failure!r}")

    def _wake(self) -> None:
        while self._waiting and (self._waiting[0][0] <= self._safe or self._failure is not None):
            _, _, decided = heapq.heappop(self._waiting)
            if not decided.done():  # else nobody waits for it any more
                decided.set_result(None)


class PoolProcess(GrowingPool):
    """The pool of a run. `finalized` are records that committed shards hold; `former` are fingerprints that the run had
    when the first of them were made."""

    def __init__(
        self,
        rules: PoolRules,
        run_dir: Path,
        finalized: Sequence[range],
        fingerprint: str,
        former: Collection[str] = (),
    ):
        super().__init__(rules, Decisions(RunFolder(run_dir).pool, fingerprint, former))
        self._finalized = finalized

    async def start(self) -> None:
        for numbers in self._finalized:
            await self.passed(numbers)


class PoolClient:
    """A worker's own side of the pool: a copy of what was accepted, which grows by what is new."""

    def __init__(self, pool: SharedPool, rules: PoolRules):
        self.pool = pool
        self.accepted: list[str] = []
        self._lag = rules.lag

    def begins_after(self, number: int) -> int:
        """How many of the first records are decided before a record may begin."""
        return max(0, number - self._lag + 1)

    async def turn(self, number: int) -> int:
        """Returns when a record may begin: how many accepted texts it sees."""
        known = len(self.accepted)
        end, new = await self.pool.accepted(self.begins_after(number), known)
        self.accepted += new[len(self.accepted) - known :]  # another record's turn may have brought some meanwhile
        return end


class Ticket:
    """One record's side of it, and a step's `llm.pool`. Without its slot while it waits: others need the engine."""

    def __init__(self, client: PoolClient, number: int, visible: int, slot: Slot):
        self._client, self._number, self._visible, self._slot = client, number, visible, slot
        self.decided = client.begins_after(number)  # of the first records: those whose decisions it relies on
        self.offered = False
        self.failure: SharedLost | None = None

    async def examples(self) -> Sequence[str]:
        return self._client.accepted[: self._visible]

    async def offer(self, texts: Sequence[str]) -> list[bool]:
        if self.offered:
            raise RuntimeError("a record offers to the pool once")
        self.offered = True
        self._slot.release()
        try:
            with ours():
                decided = await self._client.pool.offer(self._number, list(texts))
        except SharedLost as error:
            self.failure = error  # whatever the step makes of it
            raise
        self.decided = self._number + 1
        with ours():
            await self._slot.acquire()
        return decided

    async def leave(self) -> None:
        """The record is finished. Raises SharedLost."""
        if self.failure is not None:
            raise self.failure
        if not self.offered:
            await self._client.pool.passed([self._number])
