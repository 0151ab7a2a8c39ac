"""A hash table from numbers to rows, for hundreds of millions of pairs: one array with eight bytes per entry.

Linear probing in windows of eight entries. An entry has 32 bits of a hash and a row; if several rows share a number, it
has the index of a list beside the table. A collision of the 32 bits costs the caller one comparison.
"""

from array import array

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_FULL = 0.7
_GROWTH = 1.6
_FIRST = 1 << 12
_AT_ONCE = 1 << 20  # entries moved at once when the table grows
_WINDOW = np.arange(8, dtype=np.int64)
_MANY = 1 << 31  # flag: the entry has the index of a list, not a row
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


class BandTable:
    """Rows must be below 2**31 - 1. A discarded row may still be found until the table grows."""

    def __init__(self) -> None:
        self._entries: Hashes = np.zeros(_FIRST + len(_WINDOW), np.uint64)
        self._size = _FIRST  # home slots; the extra slots behind them complete the last windows
        self._used = 0
        self._lists: list[array[int]] = []

    def add(self, hashes: Hashes, rows: NDArray[np.int64]) -> None:
        """Add a row at each of these hashes."""
        tags = _tags(hashes)
        slots = self._slots(tags)
        new = np.flatnonzero(slots < 0)
        _, first = np.unique(tags[new], return_index=True)
        new = new[first]
        if self._used + len(new) > _FULL * self._size:
            self._grow(len(new))
            slots = self._slots(tags)
        self._place(tags[new] << _32 | (rows[new] + 1).astype(np.uint64))
        rest = np.ones(len(tags), bool)
        rest[new] = False
        rest = np.flatnonzero(rest)
        if len(rest):
            for slot, row in zip(self._slots(tags[rest]).tolist(), rows[rest].tolist(), strict=True):
                self._join(slot, row)

    def find(self, hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows at each hash, as pairs: index of the hash, and row."""
        slots = self._slots(_tags(hashes))
        there = np.flatnonzero(slots >= 0)
        values = (self._entries[slots[there]] & _LOW).astype(np.int64)
        alone = values < _MANY
        at, rows = there[alone], values[alone] - 1
        if alone.all():
            return at, rows
        lists = [np.frombuffer(self._lists[value - _MANY], np.uint32) for value in values[~alone].tolist()]
        many = np.repeat(there[~alone], [len(one) for one in lists])
        return np.concatenate([at, many]), np.concatenate([rows, *lists]).astype(np.int64)

    def discard(self, hashes: Hashes, row: int) -> None:
        """Remove a row from lists. A single entry stays; the caller knows that its row is gone."""
        slots = self._slots(_tags(hashes))
        for value in (self._entries[slots[slots >= 0]] & _LOW).tolist():
            if value >= _MANY and row in (rows := self._lists[value - _MANY]):
                rows.remove(row)

    def _join(self, slot: int, row: int) -> None:
        """Add a row to an existing entry."""
        entry = int(self._entries[slot])
        value = entry & 0xFFFFFFFF
        if value >= _MANY:
            self._lists[value - _MANY].append(row)
        elif value - 1 != row:
            self._lists.append(array("I", [value - 1, row]))
            self._entries[slot] = np.uint64(entry >> 32 << 32 | _MANY + len(self._lists) - 1)

    def _slots(self, tags: Hashes) -> NDArray[np.int64]:
        """The slot of each tag, -1 if it has none."""
        found = np.full(len(tags), -1, np.int64)
        left, at = np.arange(len(tags)), self._homes(tags)
        while len(left):
            entries = self._entries[at[:, None] + _WINDOW]
            same = (entries >> _32 == tags[left][:, None]) & (entries != 0)
            hit = same.any(axis=1)
            found[left[hit]] = at[hit] + same[hit].argmax(axis=1)
            on = ~hit & (entries != 0).all(axis=1)
            left, at = left[on], self._further(at[on])
        return found

    def _place(self, entries: Hashes) -> None:
        """Insert entries with new tags."""
        self._used += len(entries)
        at = self._homes(entries >> _32)
        while len(entries):
            empty = self._entries[at[:, None] + _WINDOW] == 0
            room = empty.any(axis=1)
            slots = at + empty.argmax(axis=1)
            self._entries[slots[room]] = entries[room]
            lost = room & (self._entries[slots] != entries)  # two entries took the same slot
            on = ~room | lost
            at = np.where(room, at, self._further(at))[on]
            entries = entries[on]

    def _homes(self, tags: Hashes) -> NDArray[np.int64]:
        """Increasing with the tags, so that a larger table is filled in order."""
        return (tags * np.uint64(self._size) >> _32).astype(np.int64)

    def _further(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(at + len(_WINDOW) >= self._size, 0, at + len(_WINDOW))

    def _grow(self, more: int) -> None:
        there = self._entries[self._entries != 0]
        there.sort(kind="stable")  # nearly sorted
        self._size = int(max(self._size, (self._used + more) / _FULL) * _GROWTH)
        self._used = 0
        self._entries = self._entries[:0]  # free it before the larger one is allocated
        self._entries = np.zeros(self._size + len(_WINDOW), np.uint64)
        first = 0  # a slot that is certainly free
        for start in range(0, len(there), _AT_ONCE):
            some = there[start : start + _AT_ONCE]
            turns = np.arange(len(some))
            slots = np.maximum.accumulate(np.maximum(self._homes(some >> _32), first) - turns) + turns
            first = int(slots[-1]) + 1
            fit = slots < self._size
            self._entries[slots[fit]] = some[fit]
            self._used += int(fit.sum())
            self._place(some[~fit])


def _tags(hashes: Hashes) -> Hashes:
    return hashes >> _32
