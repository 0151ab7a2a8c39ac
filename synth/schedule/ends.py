"""Finished records of leased shards: they count long before their shard is committed."""

from typing import NamedTuple


class End(NamedTuple):
    """A finished record: the index of its shard, its number, its kept rows, and the tokens that were generated for it,
    0 if these are unknown."""

    shard: int
    number: int
    kept: int
    tokens: float = 0.0


class Ends:
    """The kept rows of a leased shard's finished records, by record number."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.kept = 0

    def add(self, number: int, kept: int) -> None:
        self.kept += kept - self.rows.get(number, 0)
        self.rows[number] = kept
