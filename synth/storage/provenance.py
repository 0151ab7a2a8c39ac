"""Which rows were made by which configuration: one, but where a run went on by force or with a mended step."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from synth.records import as_place
from synth.storage.manifest import Configuration, Manifest, differing_keys, told
from synth.storage.merge import first_rows
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary


@dataclass
class Share:
    """What one configuration made: kept rows, and all records as ranges [start, stop]."""

    configuration: Configuration
    rows: int = 0
    records: list[list[int]] = field(default_factory=list)

    @property
    def numbers(self) -> str:
        """The records in few words: `0-99, 120`."""
        texts = [str(start) if stop == start + 1 else f"{start}-{stop - 1}" for start, stop in self.records]
        return ", ".join(texts[:5]) + (", …" if len(texts) > 5 else "")

    def unlike(self, other: "Share") -> str:
        """The keys in which it differs from another, with both values."""
        differing = differing_keys(other.configuration.identity, self.configuration.identity)
        return told([one for one in differing if not one[0].startswith("strategy.steps[")] or differing)


def shares(runs: Sequence[tuple[RunFolder, Manifest]], num_records: int | None = None) -> list[Share]:
    """By configuration, those with rows, in the order in which they were used; the current one where there are none.

    Rows are those of a dataset of the first `num_records`. Raises OSError.
    """
    known = {one.fingerprint: one for _, manifest in runs for one in manifest.configurations}
    found: dict[str, Share] = {}
    by_fingerprint = {one: found.setdefault(repr(of.identity), Share(of)) for one, of in known.items()}
    current = by_fingerprint[runs[0][1].fingerprint]
    for (folder, summary), count in first_rows(runs, num_records):
        made_by = Counter(summary.made_by) if count == summary.kept else _made_by(folder, summary, count)
        for fingerprint, rows in made_by.items():
            by_fingerprint.get(fingerprint, current).rows += rows
        for start, stop, fingerprint in _ranges(summary):
            _add(by_fingerprint.get(fingerprint, current).records, start, stop)
    return [one for one in found.values() if one.rows] or [current]


def _made_by(folder: RunFolder, summary: ShardSummary, count: int) -> Counter[str]:
    """Of the first rows of a shard only."""
    if not summary.earlier:
        return Counter({summary.fingerprint: count})
    with pa.memory_map(str(folder.shard(summary.index))) as file, pa.ipc.open_stream(file) as reader:
        ids = reader.read_all()["id"].slice(0, count).to_pylist()
    return Counter(summary.maker(as_place(id)[0]) for id in ids)


def _ranges(summary: ShardSummary) -> Iterable[tuple[int, int, str]]:
    """All records of a shard in order, with the fingerprint of whoever made them."""
    earlier = sorted(
        (start, stop, fingerprint) for fingerprint, told in summary.earlier.items() for start, stop in told["records"]
    )
    end = summary.start
    for start, stop, fingerprint in earlier:
        if end < start:
            yield end, start, summary.fingerprint
        yield start, stop, fingerprint
        end = stop
    if end < summary.stop:
        yield end, summary.stop, summary.fingerprint


def _add(records: list[list[int]], start: int, stop: int) -> None:
    if records and records[-1][1] == start:
        records[-1][1] = stop
    else:
        records.append([start, stop])
