"""An index of MinHash signatures that finds the lowest similar place (see near_duplicate.py).

Locality-sensitive hashing: a signature is cut into bands, and only signatures that agree in a band are compared. One
table has all bands (band_table.py).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synth.quality.band_table import BandTable, Hashes
from synth.quality.rows import Numbers, Rows
from synth.records import Place

CAUGHT = 0.95  # least share of pairs at the threshold that agree in a band
_SEED = 42
_SHIFT = np.uint64(29)


class MinHashIndex:
    """A row per signature of `permutations` bytes. Of permanent places with equal signatures only the lowest is
    kept."""

    def __init__(self, threshold: float, permutations: int):
        self._threshold, self._permutations = threshold, permutations
        self._positions = rows_of_a_band(threshold, permutations)
        self._bands = permutations // self._positions
        self._factors = np.random.default_rng(_SEED).integers(1, 2**63, (2, permutations), np.uint64) | np.uint64(1)
        self._rows = Rows("u1", permutations)
        self._table = BandTable()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, places: Sequence[Place], keys: Sequence[bytes]) -> None:
        new = {place: key for place, key in zip(places, keys, strict=True) if not self._rows.holds(place, key)}
        for place in new:
            self.forget(place)
        if new:
            rows = [self._rows.put(place, key) for place, key in new.items()]
            hashes = self._hashes(self._rows.keys[rows])
            self._table.add(hashes.reshape(-1), np.repeat(np.array(rows), self._bands))

    def forget(self, place: Place) -> None:
        row = self._rows.row(place)
        if row is not None:
            self._take_away(row)
            self._rows.forget(place)

    def close(self, places: Sequence[Place]) -> None:
        rows = [row for place in places if (row := self._rows.row(place)) is not None]
        self._rows.close(places)
        if rows:
            for row in self._with_a_lower(np.array(rows)):
                self._take_away(row)
                self._rows.free(row)

    def lowest(self, places: Sequence[Place], keys: Sequence[bytes]) -> list[Place | None]:
        if not places:
            return []
        signatures = np.stack([self._rows.of_key(key) for key in keys])
        hashes = self._hashes(signatures)
        at, rows = self._table.find(hashes.reshape(-1))
        pairs = np.unique((at // self._bands) << 32 | rows)  # a pair may share several bands

        def alike(at: Numbers, rows: Numbers) -> NDArray[np.bool_]:
            theirs = self._rows.keys[rows]
            agreed = np.count_nonzero(theirs == signatures[at], axis=1)
            enough = np.asarray(agreed >= self._threshold * self._permutations)
            enough[enough] = (self._hashes(theirs[enough]) == hashes[at[enough]]).any(axis=1)
            return enough

        return self._rows.lowest(places, (pairs >> 32, pairs & 0xFFFFFFFF), alike)

    def _with_a_lower(self, mine: Numbers) -> list[int]:
        """The rows whose signature also has a lower permanent place."""
        keys = self._rows.keys[mine]
        at, rows = self._table.find(self._hashes(keys)[:, 0])
        at, rows = (some[rows != mine[at]] for some in (at, rows))
        closed = [not self._rows.is_open(row) for row in rows.tolist()]
        places = [self._rows.place(row) for row in mine.tolist()]
        pairs = at[closed], rows[closed]
        found = self._rows.lowest(places, pairs, lambda at, rows: (self._rows.keys[rows] == keys[at]).all(axis=1))
        return [row for row, lower in zip(mine.tolist(), found, strict=True) if lower is not None]

    def _take_away(self, row: int) -> None:
        self._table.discard(self._hashes(self._rows.keys[row : row + 1])[0], row)

    def _hashes(self, signatures: NDArray[np.generic]) -> Hashes:
        """64 bits for each band of each signature."""
        used = self._bands * self._positions
        words = signatures[:, :used].astype(np.uint64) + np.uint64(1)
        mixed = (words * self._factors[0, :used]).reshape(len(words), self._bands, self._positions).sum(axis=2)
        mixed = (mixed ^ mixed >> _SHIFT) * self._factors[1, : self._bands]
        result: Hashes = mixed ^ mixed >> _SHIFT
        return result


def rows_of_a_band(threshold: float, permutations: int) -> int:
    """The most positions per band with which a pair at the threshold still shares a band with probability CAUGHT."""

    def caught(rows: int) -> float:
        return float(1 - (1 - threshold**rows) ** (permutations // rows))

    return max((rows for rows in range(1, permutations + 1) if caught(rows) >= CAUGHT), default=1)
