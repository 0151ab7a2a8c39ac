"""Exact range search over vectors: all vectors within a distance, without comparing with every vector.

The result does not depend on the order of insertion or on partitions, as that of an approximate index would. The index
only skips vectors that can't be near:

* All vectors are projected onto their principal components. A projection never increases a distance, so vectors that
  are far apart there are far apart.
* The rest is divided into the cells of centroids. A vector in a cell is nearer to its centroid than to any other, so it
  lies on that side of the plane between two centroids, and its distance is at least that of the query to the plane
  (generalized hyperplane indexing, Uhlmann 1991).
* The remaining vectors are compared in full, in float64.

The vectors determine how much is skipped, not what is found. Components and centroids are recomputed each time the
number of vectors has quadrupled, which takes seconds for a million.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synth.quality.rows import Numbers, Rows
from synth.records import Place

Vectors = NDArray[np.float32]
_HALF = np.float32(0.5)
_ROUNDING = 1e-4  # margin of a squared distance in float32; the rest is decided in float64
_FIRST = 4096  # vectors, below which all are compared
_DIRECTIONS = 32
_SAMPLE = 16384  # vectors for computing the components
_FOR_EACH = 40  # vectors per centroid
_NEAREST = 8  # nearest centroids whose planes are checked
_AT_ONCE = 256  # queries


class VectorIndex:
    """A row per normalized vector: float32, little-endian, all of one dimension."""

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
            self._rows.forget(place)  # its cell keeps the row, which has no place

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
    """The cells of `vectors` and of vectors added later. Minus half the squared length is appended to a vector: its
    product with a query that ends in 1 then orders by distance."""

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
        self._sizes = np.bincount(cells, minlength=count)  # cells have spare capacity at their ends
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
        """All pairs of a query and a row that may be nearer than this squared distance."""
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
        """The cells in which each query may have a neighbour: the plane to its nearer centroid is close enough."""
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
    """Vectors with one more number appended."""
    longer = np.empty((len(vectors), vectors.shape[1] + 1), np.float32)
    longer[:, :-1], longer[:, -1] = vectors, last
    return longer


def _sampled(vectors: Vectors, size: int) -> Vectors:
    chosen = np.random.default_rng(0).choice(len(vectors), min(size, len(vectors)), replace=False)
    return vectors[np.sort(chosen)]


def _directions(vectors: Vectors) -> Vectors:
    """Principal components, as orthonormal columns."""
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
