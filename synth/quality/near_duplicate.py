"""Near-duplicate instructions by MinHash with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, chapter 3). See synth/quality/duplicates.py for which record is kept.

A text is the set of its character n-grams, which works for every script. English articles and courtesies are removed
first: in short texts they weigh so much that "Please explain gravity" is far from "Explain the gravity". The share of
positions in which two signatures agree estimates the Jaccard similarity of the sets; two signatures are compared only
if they agree in a whole band of positions. A position has one byte (b-bit minwise hashing, Li and König 2010): of
differing positions one in 256 agrees by chance. Whether two texts are similar depends on their two signatures only.

Limits: paraphrases. A short text has few n-grams: one changed word can make all the difference.
"""

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.quality.duplicates import Index
from synth.quality.exact_duplicate import normalized
from synth.quality.minhash_index import MinHashIndex
from synth.quality.texts import columns_of, missing, texts
from synth.records import Needs, Record, Rejection

SEED = 42  # of the hash functions: the same in all processes
COURTESIES = frozenset("a an the please kindly hi hello hey can could would you i me".split())


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class NearDuplicate:
    """Rejects a record as `near_duplicate` if the text of a lower one in `column` is similar. Also: `no_COLUMN`.

    Similar are texts whose character n-grams of length `ngram` have an estimated Jaccard similarity of at least
    `threshold`. `permutations` is the length of a signature: with 128 the standard deviation of the estimate is 0.035
    at 0.8, and an instruction takes about half a KiB of memory in the processes that hold the dedup keys. Only letters
    and digits count. Of a conversation the first text is compared.
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
        if original := await llm.dedup.claim(key):
            raise Rejection(self.duplicates.reason, f"like {original}")
        return record


def signature(text: str, ngram: int, permutations: int) -> bytes:
    """MinHash of a text's character n-grams, one byte per position."""
    from rensa import RMinHash  # type: ignore[import-untyped]

    words = normalized(text).split(" ")
    compared = " ".join(word for word in words if word not in COURTESIES) or " ".join(words)
    runs = {compared[start : start + ngram] for start in range(max(1, len(compared) - ngram + 1))}
    sketch = RMinHash(num_perm=permutations, seed=SEED)
    sketch.update(sorted(runs))
    return np.array(sketch.digest(), np.uint32).astype(np.uint8).tobytes()


@plain_dataclass(frozen=True)
class NearMatches:
    """`duplicates` of a step whose keys are signatures."""

    threshold: float
    permutations: int

    reason: ClassVar[str] = "near_duplicate"
    claims_of_a_process: ClassVar[int] = 10_000_000

    def index(self) -> Index:
        return MinHashIndex(self.threshold, self.permutations)
