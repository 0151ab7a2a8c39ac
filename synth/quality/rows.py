"""Keys of one length in rows of one large array, and the place that each row is of: what an index over millions keeps.

A row that is forgotten is given to whoever comes next. Only rows that may still be forgotten can be found by their
place: `close` says that they never will be, and from then on a row takes its key and eight bytes.

Knows nothing of which keys are alike.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from synth.records import Place

Numbers = NDArray[np.int64]
_NOBODY = np.iinfo(np.int64).max  # the place of a row that is free: below no other
_FIRST = 1024  # rows
_AT_FIRST = 16  # candidates that are compared at once, and four times as many in each turn after it


class Rows:
    """`keys` is an array of as many rows as there ever were at once. Rows that are free have anything in it."""

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
        """Whether this key was put there, and may still be forgotten."""
        row = self._open.get(place)
        return row is not None and self.keys[row].tobytes() == key

    def put(self, place: Place, key: bytes) -> int:
        """The row that it has now. Raises ValueError where keys before it were of another length."""
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
            raise ValueError(f"a key of {len(vector)} numbers, those before it had {self._width}")
        return vector

    def forget(self, place: Place) -> int | None:
        """The row that is free now."""
        row = self._open.pop(place, None)
        if row is not None:
            self.free(row)
        return row

    def free(self, row: int) -> None:
        """Of no place from now on."""
        self._numbers[row] = _NOBODY
        self._paths.pop(row, None)
        self._free.append(row)
        self._count -= 1

    def close(self, places: Iterable[Place]) -> None:
        """These are never forgotten."""
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
        """For each place the lowest below it of the rows that are paired with it and alike. A pair is which of these
        places it is, and a row; `alike` is asked of some pairs at a time."""
        at, rows = pairs
        numbers = np.array([place[0] for place in places], np.int64)
        lower = self._numbers[rows] < numbers[at]
        if self._paths:  # branches of one record are below each other
            lower |= (self._numbers[rows] == numbers[at]) & self._is_branch[rows]
        at, rows = at[lower], rows[lower]
        order = np.lexsort((self._numbers[rows], at))
        at, rows = at[order], rows[order]
        found: list[Place | None] = [None] * len(places)
        turn = np.arange(len(at)) - np.searchsorted(at, at)  # the how many-eth of its place
        size = _AT_FIRST
        while len(at):
            now = turn < size
            good = alike(at[now], rows[now])
            for one, row in zip(at[now][good].tolist(), rows[now][good].tolist(), strict=True):
                place, best = self.place(row), found[one]
                if place < places[one] and (best is None or place < best):
                    found[one] = place
            # What is left of those that have found nothing, and branches of the very record that was found.
            tops = np.array([-1 if best is None else best[0] for best in found])[at]
            left = ~now & ((tops < 0) | (self._numbers[rows] == tops))
            at, rows, turn, size = at[left], rows[left], turn[left], 4 * size
        return found

    def _grow(self) -> None:
        rows = len(self._numbers) * 3 // 2
        self.keys.resize((rows, self._width), refcheck=False)  # in place where the system can
        self._numbers.resize(rows, refcheck=False)
        self._is_branch.resize(rows, refcheck=False)
        self._numbers[self.end - 1 :] = _NOBODY
