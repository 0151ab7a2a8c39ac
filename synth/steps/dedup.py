"""A record's door to the claims of its run (see synth/quality/duplicates.py), and what it claimed there.

Knows nothing of where the claims are kept.
"""

from typing import Protocol

from synth.engines import EngineError
from synth.own_time import ours
from synth.records import DedupKey, Place, as_id


class SharedKeys(Protocol):
    """The claims of all records, wherever they are kept."""

    async def claim(self, claim: DedupKey) -> Place | None:
        """The lowest of the lower places that are known to have a key alike. Raises EngineError where nobody tells."""
        ...


class RecordKeys:
    """One record, with all its branches, before these claims. What it claimed goes where its rows go."""

    def __init__(self, shared: SharedKeys):
        self._shared = shared
        self._made: list[DedupKey] = []
        self._failure: EngineError | None = None

    async def claim(self, claim: DedupKey) -> Place | None:
        self._made.append(claim)
        try:
            return await self._shared.claim(claim)
        except EngineError as error:
            self._failure = error  # whatever the step makes of it
            raise

    def made(self) -> list[DedupKey]:
        """When the record is finished. Raises EngineError."""
        if self._failure is not None:
            raise self._failure
        return self._made


class DedupHandle:
    """One branch of a record at one step, and the step's `llm.dedup`."""

    def __init__(self, claims: SharedKeys, step: str, place: Place):
        self._claims, self._step, self._place = claims, step, place
        self._claimed = False

    async def claim(self, key: bytes) -> str | None:
        """The id of a lower record that is known to have a key like this one. Never waits for another record."""
        if self._claimed:
            raise RuntimeError("a record claims once at a step")
        if not isinstance(key, bytes):
            raise TypeError(f"a claim's key is bytes, not {type(key).__name__}")
        self._claimed = True
        with ours():
            like = await self._claims.claim(DedupKey(self._step, self._place, key))
        return None if like is None else as_id(like)
