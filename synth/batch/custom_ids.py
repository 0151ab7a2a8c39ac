"""Which custom_ids of a file are repeated, in 8 bytes of memory for each.

Ids are compared by 64-bit hashes: among ten million different ones, two are alike with a probability of 3 in a million.
Hashes are kept in a few sorted arrays, each at least twice as long as the next one, which are merged as they grow.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class CustomIds:
    """The ids so far."""

    def __init__(self) -> None:
        self._sorted: list[NDArray[np.uint64]] = []

    def repeated(self, ids: Sequence[str]) -> list[bool]:
        """For each of these ids, whether it is among the earlier ones, of these or of those so far. Adds them."""
        hashes = np.fromiter(map(_hash, ids), np.uint64, len(ids))
        if not len(hashes):
            return []
        new = np.zeros(len(hashes), bool)
        new[np.unique(hashes, return_index=True)[1]] = True
        for known in self._sorted:
            at = np.searchsorted(known, hashes)
            at[at == len(known)] = 0
            new &= known[at] != hashes
        self._add(np.sort(hashes[new]))
        return [not one for one in new.tolist()]

    def _add(self, hashes: NDArray[np.uint64]) -> None:
        while self._sorted and len(self._sorted[-1]) < 2 * len(hashes):
            hashes = np.sort(np.concatenate([self._sorted.pop(), hashes]), kind="stable")
        if len(hashes):
            self._sorted.append(hashes)


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest())
