"""Rows by a number that they share, for hundreds of millions of pairs: a hash table in one array, of eight bytes each.

Linear probing, in windows of eight entries. An entry has 32 bits of a hash and a row; a number that several rows share
has a list instead, beside the table. That two numbers have the same 32 bits costs whoever asks a comparison, no more.
"""

from array import array

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_FULL = 0.7
_GROWTH = 1.6
_FIRST = 1 << 12
_AT_ONCE = 1 << 20  # entries that are moved to a larger table
_WINDOW = np.arange(8, dtype=np.int64)
_MANY = 1 << 31  # an entry that has the number of a list, and not a row
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


class BandTable:
    """Rows are below 2**31 - 1. A row that is taken away may still be found, until the table grows."""

    def __init__(self) -> None:
        self._entries: Hashes = np.zeros(_FIRST + len(_WINDOW), np.uint64)
        self._size = _FIRST  # homes; the entries behind them are for the windows of the last ones
        self._used = 0
        self._lists: list[array[int]] = []

    def add(self, hashes: Hashes, rows: NDArray[np.int64]) -> None:
        """A row at each of these hashes."""
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
        """The rows at each hash: pairs of which of these hashes it is and a row."""
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
        """Of those that share a hash with others. One that is alone stays, and is as good as gone with its row."""
        slots = self._slots(_tags(hashes))
        for value in (self._entries[slots[slots >= 0]] & _LOW).tolist():
            if value >= _MANY and row in (rows := self._lists[value - _MANY]):
                rows.remove(row)

    def _join(self, slot: int, row: int) -> None:
        """A row beside those that an entry has."""
        entry = int(self._entries[slot])
        value = entry & 0xFFFFFFFF
        if value >= _MANY:
            self._lists[value - _MANY].append(row)
        elif value - 1 != row:
            self._lists.append(array("I", [value - 1, row]))
            self._entries[slot] = np.uint64(entry >> 32 << 32 | _MANY + len(self._lists) - 1)

    def _slots(self, tags: Hashes) -> NDArray[np.int64]:
        """Where the entry of each tag is, -1 where there is none."""
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
        """New ones, of tags that are not there."""
        self._used += len(entries)
        at = self._homes(entries >> _32)
        while len(entries):
            empty = self._entries[at[:, None] + _WINDOW] == 0
            room = empty.any(axis=1)
            slots = at + empty.argmax(axis=1)
            self._entries[slots[room]] = entries[room]
            lost = room & (self._entries[slots] != entries)  # to another of these
            on = ~room | lost
            at = np.where(room, at, self._further(at))[on]
            entries = entries[on]

    def _homes(self, tags: Hashes) -> NDArray[np.int64]:
        """In the order of the tags, so that a larger table is filled in the order of the smaller one."""
        return (tags * np.uint64(self._size) >> _32).astype(np.int64)

    def _further(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(at + len(_WINDOW) >= self._size, 0, at + len(_WINDOW))

    def _grow(self, more: int) -> None:
        there = self._entries[self._entries != 0]
        there.sort(kind="stable")  # nearly sorted
        self._size = int(max(self._size, (self._used + more) / _FULL) * _GROWTH)
        self._used = 0
        self._entries = self._entries[:0]  # before there is the larger one
        self._entries = np.zeros(self._size + len(_WINDOW), np.uint64)
        first = 0  # slot that is free for sure
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
