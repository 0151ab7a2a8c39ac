"""A record's access to the run's dedup keys (synth/quality/duplicates.py), and the keys it has claimed."""

from typing import Protocol

from synth.engines import EngineError
from synth.own_time import ours
from synth.records import DedupKey, Place, as_id


class SharedKeys(Protocol):
    """The dedup keys of all records, in any process."""

    async def claim(self, claim: DedupKey) -> Place | None:
        """The lowest known place below with a similar key, or None. Raises EngineError if they are unavailable."""
        ...


class RecordKeys:
    """The dedup keys of one record with all its branches. They are stored with its rows."""

    def __init__(self, shared: SharedKeys):
        self._shared = shared
        self._made: list[DedupKey] = []
        self._failure: EngineError | None = None

    async def claim(self, claim: DedupKey) -> Place | None:
        self._made.append(claim)
        try:
            return await self._shared.claim(claim)
        except EngineError as error:
            self._failure = error  # raised again by `made`, even if the step catches it
            raise

    def made(self) -> list[DedupKey]:
        """The record's keys, once it is finished. Raises EngineError."""
        if self._failure is not None:
            raise self._failure
        return self._made


class DedupHandle:
    """A step's `llm.dedup`, for one branch of a record."""

    def __init__(self, claims: SharedKeys, step: str, place: Place):
        self._claims, self._step, self._place = claims, step, place
        self._claimed = False

    async def claim(self, key: bytes) -> str | None:
        """The id of a lower record that is known to have a similar key, or None. Never waits for another record."""
        if self._claimed:
            raise RuntimeError("a record may call llm.dedup.claim only once in a step")
        if not isinstance(key, bytes):
            raise TypeError(f"a dedup key must be bytes, not {type(key).__name__}")
        self._claimed = True
        with ours():
            like = await self._claims.claim(DedupKey(self._step, self._place, key))
        return None if like is None else as_id(like)
