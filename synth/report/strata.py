"""How far the strata of a run are (synth/strata.py), of what is committed: one table for the progress, `synth show` and
the report."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from synth.storage.shard import ShardSummary


class Stratum(NamedTuple):
    """`kept` rows of the `wanted` that have this label in this column."""

    column: str
    label: str
    kept: int
    wanted: int

    @property
    def is_short(self) -> bool:
        return self.kept < self.wanted

    def __str__(self) -> str:
        return f"{self.column} {self.label} {self.kept:,}/{self.wanted:,}"


def strata_of(wanted: Mapping[str, Mapping[str, int]], kept: Mapping[tuple[str, str], int]) -> list[Stratum]:
    """In the order of their keys, with the rows kept by column and label; without those of which none is wanted."""
    return [
        Stratum(column, label, kept.get((column, label), 0), rows)
        for column, labels in wanted.items()
        for label, rows in labels.items()
        if rows
    ]


def kept_of(summaries: Iterable[ShardSummary]) -> Counter[tuple[str, str]]:
    """Kept rows by column and label."""
    kept: Counter[tuple[str, str]] = Counter()
    for summary in summaries:
        for column, labels in summary.strata.items():
            kept.update({(column, label): count for label, count in labels.items()})
    return kept


def short_strata(strata: Sequence[Stratum]) -> str:
    """Those that lack rows, in a line."""
    return ", ".join(str(one) for one in strata if one.is_short)
