"""Vectors within a distance of another one, all of them, without looking at every vector there is.

Exact, and so the same whatever the order in which vectors came, and wherever they are. An approximate index finds this
or that neighbour, depending on what came in before. Here the index only leaves out what can't be near:

* All vectors are projected onto the directions in which they differ most (principal components). A projection takes no
  two vectors further apart, so what is far there is far.
* What is left is cut into the cells of centroids. A vector in a cell is nearer to its centroid than to any other. So it
  lies on that side of the plane between the two, and is at least as far from the one asked for as the plane is
  (generalized hyperplane indexing, Uhlmann 1991).
* What remains is compared in full, in float64.

How much is left out depends on the vectors, what is found does not. Directions and centroids are chosen anew each time
that there are four times as many vectors, which takes seconds for a million.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synth.quality.rows import Numbers, Rows
from synth.records import Place

Vectors = NDArray[np.float32]
_HALF = np.float32(0.5)
_ROUNDING = 1e-4  # of a squared distance in float32: so much more is looked at, and the rest decided in float64
_FIRST = 4096  # vectors, before any are left out
_DIRECTIONS = 32
_SAMPLE = 16384  # vectors that directions are chosen by
_FOR_EACH = 40  # and centroids, for each of them
_NEAREST = 8  # centroids whose planes are looked at
_AT_ONCE = 256  # vectors asked for


class VectorIndex:
    """A row for each vector of float32 in little-endian order, all of length 1 and one number of dimensions."""

    def __init__(self, min_distance: float):
        self._min_distance = min_distance
        self._rows: Rows | None = None
        self._cells: _Cells | None = None

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def put(self, places: Sequence[Place], keys: Sequence[bytes]) -> None:
        if self._rows is None and keys:
            self._rows = Rows("<f4", len(keys[0]) // 4)
        rows = []
        for place, key in zip(places, keys, strict=True):
            assert self._rows is not None
            if not self._rows.holds(place, key):
                self._rows.forget(place)
                rows.append(self._rows.put(place, key))
        if self._rows is not None and rows:
            if self._cells is None or self._rows.end >= self._cells.outgrown:
                self._cells = _Cells(self._rows.keys[: self._rows.end])
            else:
                self._cells.add(np.array(rows), self._rows.keys[rows])

    def forget(self, place: Place) -> None:
        if self._rows is not None:
            self._rows.forget(place)  # its cell has it still, of no place

    def close(self, places: Sequence[Place]) -> None:
        if self._rows is not None:
            self._rows.close(places)

    def lowest(self, places: Sequence[Place], keys: Sequence[bytes]) -> list[Place | None]:
        if self._rows is None or self._cells is None:
            return [None] * len(places)
        found: list[Place | None] = []
        for start in range(0, len(places), _AT_ONCE):
            vectors = np.stack([self._rows.of_key(key) for key in keys[start : start + _AT_ONCE]])
            found += self._lowest(places[start : start + _AT_ONCE], vectors)
        return found

    def _lowest(self, places: Sequence[Place], vectors: Vectors) -> list[Place | None]:
        assert self._rows is not None and self._cells is not None
        keys, exact = self._rows.keys, vectors.astype(np.float64)

        def near(at: Numbers, rows: Numbers) -> NDArray[np.bool_]:
            near: NDArray[np.bool_] = ((keys[rows] - exact[at]) ** 2).sum(axis=1) < self._min_distance
            return near

        return self._rows.lowest(places, self._cells.within(vectors, self._min_distance), near)


class _Cells:
    """The cells of these `vectors` and of those that are added. A vector ends in minus half of its squared length: its
    product with another one that ends in 1 tells how near they are."""

    def __init__(self, vectors: Vectors):
        self.outgrown = max(_FIRST, 4 * len(vectors))
        count = 1 if len(vectors) < _FIRST else 2 << round(np.log2(len(vectors)) / 2)
        self._directions = _directions(vectors) if count > 1 else np.eye(vectors.shape[1], dtype=np.float32)
        projected = vectors @ self._directions
        self._centroids = _centroids(projected, count)
        self._lengths = _squares(self._centroids)
        between = self._lengths[:, None] + self._lengths - 2 * self._centroids @ self._centroids.T
        self._between = np.sqrt(np.maximum(between, 0))
        cells = self._nearest(projected)
        order = np.argsort(cells, kind="stable")
        ends = np.searchsorted(cells[order], np.arange(1, count))
        self._sizes = np.bincount(cells, minlength=count)  # there is room for more at the ends of these
        self._members: list[Numbers] = np.split(order, ends)
        self._vectors: list[Vectors] = np.split(_with(projected, -_squares(projected) * _HALF)[order], ends)

    def add(self, rows: Numbers, vectors: Vectors) -> None:
        projected = vectors @ self._directions
        cells = self._nearest(projected).tolist()
        for cell, row, vector in zip(cells, rows.tolist(), _with(projected, -_squares(projected) * _HALF), strict=True):
            size = self._sizes[cell]
            if size == len(self._members[cell]):
                room = size // 2 + 4
                self._vectors[cell] = np.pad(self._vectors[cell], ((0, room), (0, 0)))
                self._members[cell] = np.pad(self._members[cell], (0, room))
            self._vectors[cell][size], self._members[cell][size] = vector, row
            self._sizes[cell] += 1

    def within(self, vectors: Vectors, distance: float) -> tuple[Numbers, Numbers]:
        """All pairs of one of these and a row that may be nearer than this squared distance."""
        projected = vectors @ self._directions
        lengths = _squares(projected)
        asking, least = _with(projected, 1), (lengths - distance - _ROUNDING) / 2
        at, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        possible = self._possible(projected, lengths, distance)
        for cell in np.flatnonzero(possible.any(axis=0) & (self._sizes > 0)).tolist():
            asked, size = np.flatnonzero(possible[:, cell]), self._sizes[cell]
            products = asking[asked] @ self._vectors[cell][:size].T
            found = np.flatnonzero(products > least[asked, None])
            if len(found):
                at.append(asked[found // size])
                rows.append(self._members[cell][found % size])
        return np.concatenate(at), np.concatenate(rows)

    def _possible(self, projected: Vectors, lengths: Vectors, distance: float) -> NDArray[np.bool_]:
        """In which cells each may have a neighbour: the plane between a nearer centroid and a cell's is not too far."""
        squares = lengths[:, None] + self._lengths - 2 * projected @ self._centroids.T
        reach = 2 * np.sqrt(distance + _ROUNDING)
        nearest = np.argpartition(squares, min(_NEAREST, len(self._sizes)) - 1, axis=1)[:, :_NEAREST]
        possible = np.ones(squares.shape, bool)
        for column in nearest.T:
            beyond = squares - np.take_along_axis(squares, column[:, None], axis=1)
            possible &= beyond <= reach * self._between[column] + _ROUNDING
        return possible

    def _nearest(self, projected: Vectors) -> Numbers:
        cells = [
            (self._lengths - 2 * some @ self._centroids.T).argmin(axis=1)
            for some in np.array_split(projected, -(-len(projected) // 4096))
        ]
        return np.concatenate(cells)


def _squares(vectors: Vectors) -> Vectors:
    """Squared lengths."""
    squares: Vectors = np.einsum("ij,ij->i", vectors, vectors)
    return squares


def _with(vectors: Vectors, last: Vectors | float) -> Vectors:
    """Vectors with one more number at their ends."""
    longer = np.empty((len(vectors), vectors.shape[1] + 1), np.float32)
    longer[:, :-1], longer[:, -1] = vectors, last
    return longer


def _sampled(vectors: Vectors, size: int) -> Vectors:
    chosen = np.random.default_rng(0).choice(len(vectors), min(size, len(vectors)), replace=False)
    return vectors[np.sort(chosen)]


def _directions(vectors: Vectors) -> Vectors:
    """As columns of length 1 at right angles to each other."""
    some = _sampled(vectors, _SAMPLE)
    _, found = np.linalg.eigh(np.cov(some.T))
    return np.ascontiguousarray(found[:, ::-1][:, :_DIRECTIONS], np.float32)


def _centroids(projected: Vectors, count: int) -> Vectors:
    if count == 1:
        return projected[:1]
    import faiss

    clustering = faiss.Kmeans(projected.shape[1], count, niter=8, seed=1, min_points_per_centroid=1)
    clustering.train(_sampled(projected, _FOR_EACH * count))
    return np.asarray(clustering.centroids, np.float32)
