"""Hashes of n-grams of words, for fast comparison.

Promises: the same hashes in every process. A collision is rarer than one in 10**12 texts of a thousand words.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplication loses no bit


def hashed(words: Sequence[str]) -> Hashes:
    """A hash of each word."""
    return np.fromiter(map(_hash, words), np.uint64, len(words))


def windows(words: Hashes, n: int) -> Hashes:
    """A hash of each n consecutive words: a polynomial in the words' hashes, modulo 2**64. Empty for fewer words."""
    count = max(0, len(words) - n + 1)
    total = np.zeros(count, np.uint64)
    for place in range(n if count else 0):
        total = total * _BASE + words[place : place + count]
    return total


@lru_cache(100_000)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")
