"""Exact deduplication of instructions, ignoring case, punctuation and spaces (see synth/quality/duplicates.py)."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from hashlib import blake2b
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.quality.duplicates import Buckets, Index
from synth.quality.texts import columns_of, missing, texts
from synth.records import Needs, Place, Record, Rejection


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ExactDuplicate:
    """Rejects a record as `exact_duplicate` if a lower record had the same text in `column`. Also: `no_COLUMN`.

    Of a conversation the first text is compared. Only letters and digits count; a text without any is compared as it
    is.
    """

    column: str = "instruction"

    columns: ClassVar[dict[str, str]] = {}

    @property
    def rejections(self) -> tuple[str, ...]:
        return (self.duplicates.reason, missing(self.column))

    @property
    def duplicates(self) -> "ExactMatches":
        return ExactMatches()

    def needs(self) -> list[Needs]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        text = normalized(texts(record, self.column)[0])
        key = blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
        if original := await llm.dedup.claim(key):
            raise Rejection(self.duplicates.reason, f"like {original}")
        return record


def normalized(text: str) -> str:
    """The letters and digits of a text: NFKC, lower case, one space between words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(
        character if character.isalnum() or unicodedata.category(character)[0] == "M" else " " for character in folded
    )
    return " ".join(kept.split()) or " ".join(text.split())


@plain_dataclass(frozen=True)
class ExactMatches:
    """`duplicates` of a step where only equal keys are similar."""

    reason: ClassVar[str] = "exact_duplicate"
    claims_of_a_process: ClassVar[int] = 20_000_000
    by_key: ClassVar[bool] = True

    def index(self) -> Index:
        return ExactIndex()


class ExactIndex:
    """Places by key, and keys by the places that may still be forgotten. Of the permanent places of a key only the
    lowest is stored."""

    def __init__(self) -> None:
        self._open: dict[Place, bytes] = {}
        self._places = Buckets()
        self._lowest: dict[bytes, int | Place] = {}  # permanent places; just a number for an unbranched record

    def put(self, places: Sequence[Place], keys: Sequence[bytes]) -> None:
        for place, key in zip(places, keys, strict=True):
            if self._open.get(place) != key:
                self.forget(place)
                self._open[place] = key
                self._places.add(key, place)

    def forget(self, place: Place) -> None:
        if (key := self._open.pop(place, None)) is not None:
            self._places.discard(key, place)

    def close(self, places: Sequence[Place]) -> None:
        for place in places:
            if (key := self._open.pop(place, None)) is not None:
                self._places.discard(key, place)
                if (there := self._of(key)) is None or place < there:
                    self._lowest[key] = place if len(place) > 1 else place[0]

    def lowest(self, places: Sequence[Place], keys: Sequence[bytes]) -> list[Place | None]:
        return [self._below(place, key) for place, key in zip(places, keys, strict=True)]

    def _below(self, place: Place, key: bytes) -> Place | None:
        lowest = min(self._places.at(key), default=place)
        there = self._of(key)
        lowest = lowest if there is None else min(lowest, there)
        return lowest if lowest < place else None

    def _of(self, key: bytes) -> Place | None:
        there = self._lowest.get(key)
        return (there,) if isinstance(there, int) else there
