"""The state of a run's strata (synth/strata.py) in committed shards: for the progress, `synth show` and the report."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from synth.storage.shard import ShardSummary


class Stratum(NamedTuple):
    """`kept` of the `wanted` rows with this label in this column."""

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
    """In the order of the keys, given the kept rows by column and label; without those whose number is 0."""
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
    """The incomplete ones, in a line."""
    return ", ".join(str(stratum) for stratum in strata if stratum.is_short)
