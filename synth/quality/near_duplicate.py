"""Instructions that are nearly the same: MinHash with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, chapter 3). See synth/quality/duplicates.py for who wins.

A text is the set of its runs of so many characters, so that it does for every script. English articles and courtesies
are left out first: of a short text they are so much that "Please explain gravity" is far from "Explain the gravity".
The share of positions in which two signatures agree estimates the Jaccard similarity of the two sets; to be compared at
all, two signatures must agree in a whole band of positions. Whether two texts are alike depends on these two signatures
and nothing else.

What it does not know: other words for the same. A short text has few runs: one changed word can make all the
difference.
"""

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, ClassVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.quality.duplicates import Buckets, Index
from synth.quality.exact_duplicate import normalized
from synth.quality.texts import columns_of, missing, texts
from synth.records import Needs, Place, Record, Rejection

SEED = 42  # of the hash functions: the same in all processes
COURTESIES = frozenset("a an the please kindly hi hello hey can could would you i me".split())
CAUGHT = 0.95  # of the pairs at the threshold, at the least, share a band


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class NearDuplicate:
    """Rejects a record, as `near_duplicate`, if a lower one's text in `column` is alike. Also: `no_COLUMN`.

    Alike are texts whose `ngram` characters in a row have an estimated Jaccard similarity of `threshold` or more.
    `permutations` is the length of a signature: with 128 the estimate's standard deviation is 0.035 at 0.8, and an
    instruction takes about 2 KiB of memory, in one process of the run. Letters and digits are compared. Of a
    conversation's texts the first is.
    """

    column: str = "instruction"
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    ngram: Annotated[int, Field(ge=1)] = 5
    permutations: Annotated[int, Field(ge=16, le=1024)] = 128

    columns: ClassVar[dict[str, str]] = {}

    @property
    def rejections(self) -> tuple[str, ...]:
        return (self.duplicates.reason, missing(self.column))

    @property
    def duplicates(self) -> "NearMatches":
        return NearMatches(self.threshold, self.permutations)

    def needs(self) -> list[Needs]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        key = signature(texts(record, self.column)[0], self.ngram, self.permutations)
        if twin := await llm.twins.claim(key):
            raise Rejection(self.duplicates.reason, f"like {twin}")
        return record


def signature(text: str, ngram: int, permutations: int) -> bytes:
    """MinHash of a text's character n-grams, as uint32 in little-endian order."""
    from rensa import RMinHash  # type: ignore[import-untyped]

    words = normalized(text).split(" ")
    compared = " ".join(word for word in words if word not in COURTESIES) or " ".join(words)
    runs = {compared[start : start + ngram] for start in range(max(1, len(compared) - ngram + 1))}
    sketch = RMinHash(num_perm=permutations, seed=SEED)
    sketch.update(sorted(runs))
    return np.array(sketch.digest(), "<u4").tobytes()


@plain_dataclass(frozen=True)
class NearMatches:
    """`duplicates` of a step whose keys are signatures."""

    threshold: float
    permutations: int

    reason: ClassVar[str] = "near_duplicate"

    def index(self) -> Index:
        return MinHashIndex(self.threshold, self.permutations)


class MinHashIndex:
    """Signatures by place, and places by what their signatures have in each band."""

    def __init__(self, threshold: float, permutations: int):
        self._threshold = threshold
        self._rows = rows_of_a_band(threshold, permutations)
        self._bands = permutations // self._rows
        self._keys: dict[Place, bytes] = {}
        self._places = Buckets()

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, place: Place, key: bytes) -> None:
        if self._keys.get(place) == key:
            return
        self.forget(place)
        self._keys[place] = key
        for band in self._banded(key):
            self._places.add(band, place)

    def forget(self, place: Place) -> None:
        key = self._keys.pop(place, None)
        for band in self._banded(key) if key is not None else ():
            self._places.discard(band, place)

    def lowest(self, place: Place, key: bytes) -> Place | None:
        candidates: set[Place] = set().union(*map(self._places.at, self._banded(key)))
        mine = np.frombuffer(key, "<u4")
        return next((one for one in sorted(candidates) if one < place and self._alike(mine, one)), None)

    def _alike(self, mine: NDArray[np.uint32], other: Place) -> bool:
        agreed = int(np.count_nonzero(mine == np.frombuffer(self._keys[other], "<u4")))
        return agreed >= self._threshold * len(mine)

    def _banded(self, key: bytes) -> list[int]:
        """A number for each band and what is in it. That two are equal by chance costs a comparison, no more."""
        size = 4 * self._rows
        return [crc32(key[band * size : (band + 1) * size]) << 16 | band for band in range(self._bands)]


def rows_of_a_band(threshold: float, permutations: int) -> int:
    """The most positions to a band with which a pair at the threshold still shares one, nearly always."""

    def caught(rows: int) -> float:
        return float(1 - (1 - threshold**rows) ** (permutations // rows))

    return max((rows for rows in range(1, permutations + 1) if caught(rows) >= CAUGHT), default=1)
