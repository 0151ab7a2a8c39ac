"""The pool of texts that all records of a run share (Self-Instruct), grown in the order of record numbers.

Record n's texts are compared with the seed tasks, with the texts accepted from lower records, and with its own earlier
texts. So they are decided once all lower records are decided: they offered texts, or finished without any (`passed`). A
record begins when the record `lag` numbers below it is decided, and sees the texts accepted up to there. Hence the pool
depends on the offers of the records only, not on the number of workers, their timing, or the shards. A decision is on
disk before any worker gets it; a record that runs again after a lost worker or a resume gets the same decision.

Records wait for lower numbers only, so there is no deadlock as long as the lowest undecided record can run: a waiting
record gives up its worker's slot (see `Ticket`), and lower numbers are leased and launched first.

Plain asyncio; a run has it in a process of its own (shared.py).
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
    """The pool as workers see it, in any process. Each call may raise SharedLost."""

    async def decided(self) -> int: ...

    async def accepted(self, below: int, known: int) -> tuple[int, list[str]]: ...

    async def offer(self, number: int, texts: Sequence[str]) -> list[bool]: ...

    async def passed(self, numbers: Iterable[int]) -> None: ...


class GrowingPool:
    """The pool itself, restored from its decisions on disk."""

    def __init__(self, rules: PoolRules, decisions: Decisions):
        self._novelty = Novelty(rules.threshold, rules.seeds)
        self._decisions = decisions
        self._accepted: list[str] = []
        self._ends = [0]  # _ends[n]: number of texts accepted from the records below n
        for texts in decisions.found:
            for text in texts:
                self._add(text)
            self._ends.append(len(self._accepted))
        self._safe = self._next  # decisions of the records below it are on disk
        self._offers: dict[int, Sequence[str]] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()
        self._deciding: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def decided(self) -> int:
        """The number of first records whose decisions are on disk."""
        return self._safe

    async def accepted(self, below: int, known: int) -> tuple[int, list[str]]:
        """Waits until all records below `below` are decided. Returns the number of texts accepted from them, and those
        texts from index `known` on."""
        await self._until(below)
        end = self._ends[max(0, below)]
        return end, self._accepted[known:end]

    async def offer(self, number: int, texts: Sequence[str]) -> list[bool]:
        """Waits until all lower records are decided. Returns for each text of a record whether it is accepted."""
        self._put(number, texts)
        await self._until(number + 1)
        left = set(self._accepted[self._ends[number] : self._ends[number + 1]])
        decided = []
        for text in texts:
            decided.append(text in left)
            left.discard(text)
        return decided

    async def passed(self, numbers: Iterable[int]) -> None:
        """Note that these records are finished and offer no texts."""
        for number in numbers:
            self._put(number, [])

    @property
    def _next(self) -> int:
        """The lowest undecided record."""
        return len(self._ends) - 1

    def _put(self, number: int, texts: Sequence[str]) -> None:
        if number >= self._next:
            self._offers.setdefault(number, texts)
            if self._deciding is None or self._deciding.done():
                self._deciding = asyncio.create_task(self._decide())

    async def _decide(self) -> None:
        """Decide all records that can be. New offers queue during a write, so one write serves many."""
        while self._next in self._offers and self._failure is None:
            try:
                decided = []
                while (texts := self._offers.pop(self._next, None)) is not None:
                    decided.append([text for text in texts if self._novelty.is_novel(text) and self._add(text)])
                    self._ends.append(len(self._accepted))
                await asyncio.to_thread(self._decisions.append, decided)
                self._safe = self._next
            except Exception as error:  # raised in all waiting calls
                self._failure = error
            self._wake()

    def _add(self, text: str) -> bool:
        self._novelty.add(text)
        self._accepted.append(text)
        return True

    async def _until(self, below: int) -> None:
        """Returns when all records below `below` are decided."""
        if below > self._safe and self._failure is None:
            decided = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (below, next(self._ticket), decided))
            await decided
        if self._failure is not None:
            raise SharedLost(f"the pool can't decide, or write it down: {self._failure!r}")

    def _wake(self) -> None:
        while self._waiting and (self._waiting[0][0] <= self._safe or self._failure is not None):
            _, _, decided = heapq.heappop(self._waiting)
            if not decided.done():  # else its waiter was cancelled
                decided.set_result(None)


class PoolProcess(GrowingPool):
    """The pool of a run. `finalized` are the records in committed shards; `former` are the fingerprints that the run
    had when the first of them were made."""

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
    """A worker's copy of the accepted texts, updated with new ones."""

    def __init__(self, pool: SharedPool, rules: PoolRules):
        self.pool = pool
        self.accepted: list[str] = []
        self._lag = rules.lag

    def begins_after(self, number: int) -> int:
        """The number of first records that must be decided before this record may begin."""
        return max(0, number - self._lag + 1)

    async def turn(self, number: int) -> int:
        """Waits until a record may begin. Returns how many accepted texts it sees."""
        known = len(self.accepted)
        end, new = await self.pool.accepted(self.begins_after(number), known)
        self.accepted += new[len(self.accepted) - known :]  # another record may have added some meanwhile
        return end


class Ticket:
    """A record's view of the pool, and a step's `llm.pool`. Gives up the record's slot while it waits."""

    def __init__(self, client: PoolClient, number: int, visible: int, slot: Slot):
        self._client, self._number, self._visible, self._slot = client, number, visible, slot
        self.decided = client.begins_after(number)  # number of first records whose decisions this record used
        self.offered = False
        self.failure: SharedLost | None = None

    async def examples(self) -> Sequence[str]:
        return self._client.accepted[: self._visible]

    async def offer(self, texts: Sequence[str]) -> list[bool]:
        if self.offered:
            raise RuntimeError("a record may call llm.pool.offer only once")
        self.offered = True
        self._slot.release()
        try:
            with ours():
                decided = await self._client.pool.offer(self._number, list(texts))
        except SharedLost as error:
            self.failure = error  # raised again by `leave`, even if the step catches it
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
