"""Checkpoint of the calls of unfinished records, so that a kill does not lose their answers.

A record that is run again makes the same calls: its seeds are functions of its number, and its prompts of its answers.
So a call is identified by everything that was sent (model, prompt, sampling parameters, seed), and an identical call
gets the stored answer. A changed prompt, such as one with examples from a changed pool, is another call.

It costs short records no disk writes: finished calls stay in memory and are dropped when their record finishes. With
`auto` a record's calls are written once it has run for LONG_S, about the time until a restarted engine answers. At a
stop the calls of all unfinished records are written.

With `continue_answers` the partial answer is stored too, and generation continues from it. That is another request with
a longer prompt: its tokens have the same distribution, but are not those of the original request. So it is off by
default.
"""

import asyncio
import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from synth.engines import Answer, Form, Generator, Prompt, Sampling, Watch, watching
from synth.records import Record, derive_seed
from synth.schedule.usage import RecordUsage
from synth.steps.endpoints import Endpoint, PoolingEndpoint
from synth.storage.calls import ANSWER, Call, CallJournal

LONG_S = 30.0
PART = 256  # tokens: partial answers are written in steps of at least so many

_Asked = tuple[str, Prompt, Sampling]  # model name, prompt, sampling


class Part:
    """A partial answer: its tokens so far, `written` of which are on disk."""

    def __init__(self, begun: Sequence[int]):
        self.token_ids = list(begun)
        self.written = len(self.token_ids)

    def watch(self, watch: Watch | None) -> Watch:
        """Records tokens on their way to `watch`, if there is one. Text of a server or of stop strings is not
        stored."""
        begun = list(self.token_ids)

        def seen(token_ids: Sequence[int], text: str | None = None) -> bool:
            if text is None:
                self.token_ids += token_ids[len(self.token_ids) - len(begun) :]
            return watch is not None and watch([*begun, *token_ids] if begun else token_ids, text)

        return seen

    def fields(self, least: int) -> Record | None:
        """The tokens since the last write, if there are at least `least`."""
        new = self.token_ids[self.written :]
        if len(new) < max(1, least):
            return None
        answer = Answer(new, "abort", 0, counted=self.written)
        self.written += len(new)
        return call_fields(answer) | {"finish_reason": None}


class RecordCalls:
    """The calls of a running record: `known` from before a restart, `reused` from another run, and new ones."""

    def __init__(
        self, known: dict[bytes, Record], begun: float, continues: bool, reused: dict[bytes, Record] | None = None
    ):
        self.begun, self.continues = begun, continues
        self._known, self._reused = known, reused or {}
        self._made: deque[tuple[_Asked, Answer]] = deque()
        self._parts: dict[tuple[str, int | None], tuple[_Asked, Part]] = {}  # by model name and seed

    def over(self, endpoints: Mapping[str, Endpoint | PoolingEndpoint]) -> dict[str, Endpoint | PoolingEndpoint]:
        """The record's models, which return stored answers. Scores are not stored: they are cheap."""
        return {
            name: replace(one, engine=Checkpointed(one.engine, name, self)) if isinstance(one, Endpoint) else one
            for name, one in endpoints.items()
        }

    def find(self, asked: _Asked, watch: Watch | None) -> tuple[Answer | None, list[int]]:
        """The stored answer, or else the tokens of a partial one."""
        if not (self._known or self._reused):
            return None, []
        key = _key(*asked)
        found, reused = self._known.pop(key, None), self._reused.pop(key, None)
        is_reused = found is None
        if is_reused:
            # A partial answer of another run is not continued.
            found = reused if reused and reused["finish_reason"] is not None else None
        if found is None:
            return None, []
        token_ids = list(found["token_ids"])
        if found["finish_reason"] is None:
            return None, token_ids
        answer = Answer(**found | {"token_ids": token_ids})
        if answer.finish_reason == "abort" and not (watch and watch(token_ids, answer.text)):
            return None, []  # it counts only if the watch ends it again
        if is_reused:
            self.note(asked, answer)  # a call of this run from here on
        return answer, []

    def note(self, asked: _Asked, answer: Answer) -> None:
        self._made.append((asked, answer))

    @contextmanager
    def writing(self, asked: _Asked, part: Part) -> Iterator[None]:
        """Keeps the partial answer until the answer is complete; if generation is interrupted, it stays."""
        model, _, sampling = asked
        self._parts[model, sampling.seed] = asked, part
        yield
        del self._parts[model, sampling.seed]

    def new(self, number: int, least: int) -> Iterator[Call]:
        """Calls since the last write, and partial answers with at least `least` new tokens. Safe in another thread."""
        for _ in range(len(self._made)):
            asked, answer = self._made.popleft()
            yield Call(number, _key(*asked), call_fields(answer))
        for asked, part in list(self._parts.values()):
            if (fields := part.fields(least)) is not None:
                yield Call(number, _key(*asked), fields)


class Checkpointed:
    """A Generator: a model's engine for one record, which returns stored answers."""

    def __init__(self, engine: Generator, model: str, calls: RecordCalls):
        self._engine, self._model, self._calls = engine, model, calls
        self.max_model_len = engine.max_model_len
        self.holds: frozenset[Form] = getattr(engine, "holds", frozenset())

    async def generate(self, prompt: Prompt, sampling: Sampling, watch: Watch | None = None) -> Answer:
        asked = (self._model, prompt, sampling)
        found, begun = self._calls.find(asked, watch)
        if found:
            self._count(found)
            await asyncio.sleep(0)  # a record with thousands of stored calls must not block others
            return found
        if self._calls.continues and _goes_on(prompt, sampling):
            answer = await self._continued(asked, begun, watch)
        else:
            answer = await self._engine.generate(prompt, sampling, **watching(self._engine, watch))
        self._calls.note(asked, answer)
        return answer

    async def _continued(self, asked: _Asked, begun: list[int], watch: Watch | None) -> Answer:
        _, prompt, sampling = asked
        left = min(sampling.max_tokens, self.max_model_len - len(prompt)) - len(begun)
        if left < 1:
            begun = []
        part = Part(begun)
        if begun:
            seed = None if sampling.seed is None else derive_seed(sampling.seed, len(begun))
            sampling = replace(sampling, max_tokens=left, seed=seed)
            self._count(Answer(begun, "length", 0))
        with self._calls.writing(asked, part):
            given = watching(self._engine, part.watch(watch))
            rest: Answer = await self._engine.generate([*prompt, *begun], sampling, **given)
        if not begun:
            return rest
        cached = min(rest.cached_tokens, len(prompt))
        return replace(rest, token_ids=[*begun, *rest.token_ids], prompt_tokens=len(prompt), cached_tokens=cached)

    def _count(self, answer: Answer) -> None:
        if isinstance(self._engine, RecordUsage):
            self._engine.count(answer)


def _goes_on(prompt: Prompt, sampling: Sampling) -> bool:
    """Whether the rest of an answer has the same distribution with its beginning in the prompt: false for penalties and
    stops that look at the whole answer."""
    penalties = sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty != 1
    reads_ids = not prompt or isinstance(prompt[0], int)
    return reads_ids and not (penalties or sampling.stop or sampling.form or sampling.logprob)


class Checkpoint:
    """The calls of a shard's records: `begin` and `end` each record; `sync` and `close` write to disk."""

    def __init__(
        self,
        journal: CallJournal,
        is_auto: bool,
        continues: bool = False,
        now: Callable[[], float] = time.monotonic,
        keeps: bool = False,
        reused: dict[int, dict[bytes, Record]] | None = None,
    ):
        self._journal, self._continues, self._now = journal, continues, now
        self._keeps, self._reused = keeps, reused or {}
        self._ended: deque[tuple[int, RecordCalls]] = deque()
        self._after_s = LONG_S if is_auto else 0.0
        self._records: dict[int, RecordCalls] = {}

    def begin(self, number: int) -> RecordCalls:
        known, reused = self._journal.take(number), self._reused.pop(number, {})
        record = self._records[number] = RecordCalls(known, self._now(), self._continues, reused)
        return record

    def end(self, number: int) -> None:
        """The record is finished: its calls are dropped unless another run may reuse them."""
        record = self._records.pop(number, None)
        if self._keeps and record:
            self._ended.append((number, record))

    def sync(self) -> None:
        """Write the calls of records that have run for LONG_S. Raises OSError."""
        self._write(math.inf, self._now() - self._after_s, PART)

    def close(self, below: float) -> None:
        """Write the calls of all unfinished records below this number. Raises OSError."""
        self._write(below, math.inf, 1)
        self._journal.close()

    def _write(self, below: float, begun_before: float, least: int) -> None:
        due = [one for one in list(self._records.items()) if one[0] < below and one[1].begun <= begun_before]
        due += [self._ended.popleft() for _ in range(len(self._ended))]
        self._journal.append([call for number, record in due for call in record.new(number, least)])


def _key(model: str, prompt: Prompt, sampling: Sampling) -> bytes:
    asked = repr((model, list(prompt), sampling)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(asked, digest_size=16).digest()


def call_fields(answer: Answer) -> Record:
    return {name: getattr(answer, name) for name in ANSWER}
