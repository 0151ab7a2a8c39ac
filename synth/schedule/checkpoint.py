"""What the unfinished records of a shard have been answered so far, so that a kill does not lose it.

A record that is made again asks the same: its seeds are functions of its number, and its prompts of its answers. So a
call is known by all that was asked (the model, the prompt, how tokens are drawn, the seed), and who asks that again is
given the answer. Another prompt, as of a pool that is another one by now, is another call.

Costs nothing where records are short: finished calls wait in memory, and those of a record that ends meanwhile are
never written. With `auto` a record's calls are written once it has run for LONG_S, about what a kill costs anyway until
an engine answers again; at a stop all of them are, because then they are certainly of use.
"""

import asyncio
import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from synth.engines import Answer, Form, Generator, Prompt, Sampling, Watch, watching
from synth.records import Record
from synth.schedule.metered import RecordMeter
from synth.steps.llm import Endpoint
from synth.steps.pooling import PoolingEndpoint
from synth.storage.calls import ANSWER, Call, CallJournal

LONG_S = 30.0

_Asked = tuple[str, Prompt, Sampling]  # the model's name first


class RecordCalls:
    """Those of one record that runs: those `known` from before, and those that were made since."""

    def __init__(self, known: dict[bytes, Record], begun: float):
        self.begun = begun
        self._known = known
        self._made: deque[tuple[_Asked, Answer]] = deque()

    def over(self, endpoints: Mapping[str, Endpoint | PoolingEndpoint]) -> dict[str, Endpoint | PoolingEndpoint]:
        """The record's models, which are not asked again what they have answered. A score takes no time to speak of."""
        return {
            name: replace(one, engine=Checkpointed(one.engine, name, self)) if isinstance(one, Endpoint) else one
            for name, one in endpoints.items()
        }

    def find(self, asked: _Asked, watch: Watch | None) -> Answer | None:
        found = self._known.pop(_key(*asked), None) if self._known else None
        if found is None:
            return None
        answer = Answer(**found)
        answer = replace(answer, token_ids=list(answer.token_ids))
        if answer.finish_reason == "abort" and not (watch and watch(answer.token_ids, answer.text)):
            return None  # whoever watched it ended it for a reason, which is to be seen again
        return answer

    def note(self, asked: _Asked, answer: Answer) -> None:
        self._made.append((asked, answer))

    def taken(self) -> list[tuple[_Asked, Answer]]:
        """Those that were made since; other threads may go on noting."""
        return [self._made.popleft() for _ in range(len(self._made))]


class Checkpointed:
    """A Generator: a model's engine for one record, which is not asked again what it has answered before."""

    def __init__(self, engine: Generator, model: str, calls: RecordCalls):
        self._engine, self._model, self._calls = engine, model, calls
        self.max_model_len = engine.max_model_len
        self.holds: frozenset[Form] = getattr(engine, "holds", frozenset())

    async def generate(self, prompt: Prompt, sampling: Sampling, watch: Watch | None = None) -> Answer:
        asked = (self._model, prompt, sampling)
        if found := self._calls.find(asked, watch):
            if isinstance(self._engine, RecordMeter):
                self._engine.count(found)
            await asyncio.sleep(0)  # so that a record with thousands of them holds up no other
            return found
        answer: Answer = await self._engine.generate(prompt, sampling, **watching(self._engine, watch))
        self._calls.note(asked, answer)
        return answer


class Checkpoint:
    """The calls of a shard's records: `begin` each, and `end` those that are finished. The rest is the disk's."""

    def __init__(self, journal: CallJournal, is_auto: bool, now: Callable[[], float] = time.monotonic):
        self._journal, self._now = journal, now
        self._after_s = LONG_S if is_auto else 0.0
        self._records: dict[int, RecordCalls] = {}

    def begin(self, number: int) -> RecordCalls:
        record = self._records[number] = RecordCalls(self._journal.take(number), self._now())
        return record

    def end(self, number: int) -> None:
        """The record is finished: nobody will ask for it again."""
        self._records.pop(number, None)

    def sync(self) -> None:
        """The calls of records that run for long are on disk. Raises OSError."""
        self._write(math.inf, self._now() - self._after_s)

    def close(self, below: float) -> None:
        """So are those of all records below this one that are not finished. Raises OSError."""
        self._write(below, math.inf)
        self._journal.close()

    def _write(self, below: float, begun_before: float) -> None:
        calls = []
        for number, record in list(self._records.items()):
            if number < below and record.begun <= begun_before:
                calls += [Call(number, _key(*asked), _fields(answer)) for asked, answer in record.taken()]
        self._journal.append(calls)


def _key(model: str, prompt: Prompt, sampling: Sampling) -> bytes:
    asked = repr((model, list(prompt), sampling)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(asked, digest_size=16).digest()


def _fields(answer: Answer) -> Record:
    return {name: getattr(answer, name) for name in ANSWER}
