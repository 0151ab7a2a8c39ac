"""Fixed-length keys in the rows of one large array, with the place of each row: storage for indexes of millions of
keys.

Rows of forgotten places are reused. Only rows that may still be forgotten are found by place; `close` makes places
permanent, and then a row takes only its key and eight bytes.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from synth.records import Place

Numbers = NDArray[np.int64]
_NOBODY = np.iinfo(np.int64).max  # the place of a free row: below no other
_FIRST = 1024  # rows
_AT_FIRST = 16  # candidates compared at once; four times as many in each later round


class Rows:
    """`keys` has as many rows as were ever in use at once. The content of free rows is undefined."""

    def __init__(self, kind: str, width: int):
        self._kind, self._width = np.dtype(kind), width
        self.keys = np.zeros((_FIRST, width), self._kind)
        self._numbers: Numbers = np.full(_FIRST, _NOBODY, np.int64)
        self._is_branch = np.zeros(_FIRST, np.bool_)
        self._paths: dict[int, Place] = {}  # theirs
        self._open: dict[Place, int] = {}
        self._free: list[int] = []
        self.end = 0  # rows from here on were never used
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def holds(self, place: Place, key: bytes) -> bool:
        """Whether the place has this key and may still be forgotten."""
        row = self._open.get(place)
        return row is not None and self.keys[row].tobytes() == key

    def put(self, place: Place, key: bytes) -> int:
        """Returns its row. Raises ValueError if earlier keys had another length."""
        vector = self.of_key(key)
        row = self._free.pop() if self._free else self.end
        if row == self.end:
            self.end += 1
            if row == len(self._numbers):
                self._grow()
        self.keys[row] = vector
        self._numbers[row] = place[0]
        self._is_branch[row] = len(place) > 1
        if len(place) > 1:
            self._paths[row] = place
        self._open[place] = row
        self._count += 1
        return row

    def of_key(self, key: bytes) -> NDArray[np.generic]:
        vector = np.frombuffer(key, self._kind)
        if len(vector) != self._width:
            raise ValueError(f"a key has {len(vector)} numbers, earlier ones had {self._width}")
        return vector

    def forget(self, place: Place) -> int | None:
        """Returns the freed row."""
        row = self._open.pop(place, None)
        if row is not None:
            self.free(row)
        return row

    def free(self, row: int) -> None:
        """Remove its place."""
        self._numbers[row] = _NOBODY
        self._paths.pop(row, None)
        self._free.append(row)
        self._count -= 1

    def close(self, places: Iterable[Place]) -> None:
        """Make these places permanent."""
        for place in places:
            self._open.pop(place, None)

    def row(self, place: Place) -> int | None:
        """Of a place that may still be forgotten."""
        return self._open.get(place)

    def is_open(self, row: int) -> bool:
        return self._open.get(self.place(row)) == row

    def place(self, row: int) -> Place:
        return self._paths.get(row) or (int(self._numbers[row]),)

    def lowest(
        self,
        places: Sequence[Place],
        pairs: tuple[Numbers, Numbers],
        alike: Callable[[Numbers, Numbers], NDArray[np.bool_]],
    ) -> list[Place | None]:
        """For each place the lowest place below it among the rows paired with it that are alike. A pair is an index
        into `places` and a row; `alike` is called with batches of pairs."""
        at, rows = pairs
        numbers = np.array([place[0] for place in places], np.int64)
        lower = self._numbers[rows] < numbers[at]
        if self._paths:  # branches of a record can be below each other
            lower |= (self._numbers[rows] == numbers[at]) & self._is_branch[rows]
        at, rows = at[lower], rows[lower]
        order = np.lexsort((self._numbers[rows], at))
        at, rows = at[order], rows[order]
        found: list[Place | None] = [None] * len(places)
        turn = np.arange(len(at)) - np.searchsorted(at, at)  # rank among the pairs of its place
        size = _AT_FIRST
        while len(at):
            now = turn < size
            good = alike(at[now], rows[now])
            for one, row in zip(at[now][good].tolist(), rows[now][good].tolist(), strict=True):
                place, best = self.place(row), found[one]
                if place < places[one] and (best is None or place < best):
                    found[one] = place
            # Pairs of places without a match yet, and branches of a record that matched.
            tops = np.array([-1 if best is None else best[0] for best in found])[at]
            left = ~now & ((tops < 0) | (self._numbers[rows] == tops))
            at, rows, turn, size = at[left], rows[left], turn[left], 4 * size
        return found

    def _grow(self) -> None:
        rows = len(self._numbers) * 3 // 2
        self.keys.resize((rows, self._width), refcheck=False)  # in place if the system can
        self._numbers.resize(rows, refcheck=False)
        self._is_branch.resize(rows, refcheck=False)
        self._numbers[self.end - 1 :] = _NOBODY
