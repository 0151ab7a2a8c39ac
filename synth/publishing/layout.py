"""Which rows of a run are final, and which of them are in which published file.

Rows are final in the order of the dataset: those of committed shards without a gap from the first record, up to
num_records. A shard above a gap waits: how many of its rows the dataset will have depends on the rows below. So does a
shard of which `retry` runs records again. Duplicates need no care here: a shard is committed when all lower ones are
finalized, and its rows stay.

A published file has the rows from its start to the start of the next file. That keeps the files of a run that is
extended as they are, and finds the one file that changes when a shard is committed anew.

Bookkeeping only: no files, no network.
"""

import hashlib
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from synth.storage.manifest import Manifest
from synth.storage.shard import ShardSummary

_NAME = re.compile(r"data/train-(\d{6,})(?:_(\d{6,}))?\.parquet")


class Position(NamedTuple):
    """A row: its place among the kept rows of a shard."""

    shard: int
    row: int


FIRST = Position(0, 0)


class Part(NamedTuple):
    """The kept rows `first` to `stop` - 1 of a shard."""

    shard: ShardSummary
    first: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.first


@dataclass(frozen=True)
class PublishedFile:
    """A file with `rows`; `end` is where they ended when it was written. `made_of` is a digest of its shards'
    checksums, `sha256` that of its bytes."""

    start: Position
    end: Position
    rows: int
    made_of: str
    sha256: str

    @property
    def name(self) -> str:
        return name_of(self.start)


def name_of(start: Position) -> str:
    """Sorted by name, files are in the order of their rows: `_` is above `.`."""
    within = f"_{start.row:06}" if start.row else ""
    return f"data/train-{start.shard:06}{within}.parquet"


def start_of(name: str) -> Position | None:
    """The start of a file of this name; None for any other name."""
    found = _NAME.fullmatch(name)
    start = Position(int(found[1]), int(found[2] or 0)) if found else None
    return start if start is not None and name_of(start) == name else None


class FinalRows:
    """The final rows of a run, by its manifest. `all_there` says that they are the number asked for: none follows."""

    def __init__(self, manifest: Manifest):
        self.parts: list[Part] = []
        self.rows = 0
        self.end = FIRST
        wanted = math.inf if manifest.wanted is None else manifest.wanted
        for shard in manifest.shards:
            summary = manifest.committed.get(shard.index)
            if summary is None or shard.index in manifest.again or self.rows >= wanted:
                break
            count = int(min(summary.kept, wanted - self.rows))
            self.parts.append(Part(summary, 0, count))
            self.rows += count
            is_short = summary.planned_stop is not None
            self.end = Position(shard.index, count) if is_short else Position(shard.index + 1, 0)
            if is_short:
                break
        self.all_there = self.rows >= wanted
        self._indices = [part.shard.index for part in self.parts]

    def between(self, start: Position, stop: Position | None) -> list[Part] | None:
        """The rows of these positions; None while some of them are not final. Without `stop`, all from `start` on."""
        if stop is None:
            stop = Position(self.parts[-1].shard.index + 1, 0) if self.parts else start
        elif stop > self.end and not self.all_there:
            return None
        found = []
        for part in self.parts[bisect_left(self._indices, start.shard) :]:
            index = part.shard.index
            if index > stop.shard:
                break
            first = start.row if index == start.shard else 0
            last = min(part.stop, stop.row) if index == stop.shard else part.stop
            if first < last:
                found.append(Part(part.shard, first, last))
        return found

    def next_file(self, start: Position, rows: int, size: int, size_of: Callable[[ShardSummary], int]) -> list[Part]:
        """The parts of the next file: at most so many rows, and as few shards as reach `size` bytes."""
        parts: list[Part] = []
        bytes_ = 0
        for part in self.between(start, None) or []:
            kept = min(part.rows, rows)
            parts.append(part._replace(stop=part.first + kept))
            rows -= kept
            bytes_ += size_of(part.shard)
            if rows == 0 or bytes_ >= size:
                break
        return parts


def digest(parts: Sequence[Part]) -> str:
    """Of the checksums of shards, and which of their rows."""
    lines = (f"{part.shard.checksum} {part.first} {part.stop}" for part in parts)
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def count(parts: Sequence[Part]) -> int:
    return sum(part.rows for part in parts)


def end_of(parts: Sequence[Part], default: Position) -> Position:
    return Position(parts[-1].shard.index, parts[-1].stop) if parts else default
