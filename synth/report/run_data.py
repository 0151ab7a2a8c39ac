"""Reads a run folder by column: rows of committed shards, kept and rejected, and metrics.

Promises: rows are memory-mapped and read in batches, so memory is constant; an unreadable file is a one-line error. May
be used while the run is writing.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synth.errors import reason
from synth.records import Record, Spent
from synth.report.by_model import by_model
from synth.report.reserved import Reserved, reserved_by
from synth.report.strata import Stratum, kept_of, strata_of
from synth.steps.strategy import step_names
from synth.storage.journal import owner_of, tally_of
from synth.storage.manifest import Manifest, Unreadable
from synth.storage.provenance import Share, shares
from synth.storage.run_folder import RunFolder
from synth.storage.shard import damage
from synth.storage.tally import Tally
from synth.storage.union import names_of_runs
from synth.strata import SKIP, STRATA

Split = Literal["kept", "rejected"]


@dataclass(frozen=True)
class Run:
    """A run's folder and its manifest. `open` raises Unreadable."""

    folder: RunFolder
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> "Run":
        folder = RunFolder(path)
        manifest = Manifest.read(folder)
        if manifest is None:
            nearest = (*(one.path for one in folder.slices().values()), path.parent, path.parent.parent)
            near = next((place for place in nearest if os.path.isfile(RunFolder(place).manifest)), None)
            hint = f"; did you mean {str(near)!r}?" if near else ""
            if runs := names_of_runs(folder):
                hint = (
                    f"; it is merged from {', '.join(runs)}: use their folders, or python -m synth.export for its rows"
                )
            raise Unreadable(f"{path}: holds no run, there is no {folder.manifest.name}{hint}")
        return cls(folder, manifest)

    def refuse_damage(self) -> None:
        """Raises Unreadable if a committed shard has changed. Reads all shards."""
        for path in self.manifest.damaged(self.folder).values():
            raise Unreadable(f"{path}: is {damage(path)}; run the same command again to replace its records")

    @property
    def name(self) -> str:
        return self.folder.path.resolve().name

    @property
    def strategy(self) -> str:
        return str(self.manifest.identity.get("strategy", {}).get("name"))

    @cached_property
    def made_by(self) -> list[Share]:
        """The share of each configuration in what is committed; nearly always there is one."""
        return shares([(self.folder, self.manifest)])

    @property
    def model(self) -> str:
        """The model that wrote the rows; of several, all."""
        return ", ".join(dict.fromkeys(part.configuration.model for part in self.made_by))

    @property
    def steps(self) -> list[str]:
        """The names of the strategy's steps, as in rejections, in order."""
        names = step_names(self.manifest.identity.get("strategy", {}))
        return [SKIP, *names, STRATA] if self.strata else names

    @cached_property
    def strata(self) -> list[Stratum]:
        """The state of its strata, if it has any."""
        wanted = self.manifest.identity.get("strata", {})
        return strata_of(wanted, kept_of(self.manifest.summaries)) if wanted else []

    @cached_property
    def counts(self) -> dict[Split, int]:
        """Rows of committed shards."""
        summaries = self.manifest.summaries
        return {
            "kept": sum(summary.kept for summary in summaries),
            "rejected": sum(summary.rejected for summary in summaries),
        }

    @cached_property
    def in_journals(self) -> Tally:
        """Finished records that are not committed."""
        open_ = (shard for shard in self.manifest.shards if shard.index not in self.manifest.committed)
        prints = [configuration.fingerprint for configuration in self.manifest.configurations]
        tallies = (
            tally_of(self.folder.journal(one.index), [owner_of(one, print_) for print_ in prints]) for one in open_
        )
        return sum(tallies, Tally())

    @property
    def unfinished(self) -> int:
        """The number of finished records that are not committed."""
        return self.in_journals.records

    @cached_property
    def snapshots(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl in order, without invalid ones, such as one torn by a crash."""
        try:
            lines = self.folder.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return [one for line in lines if (one := _snapshot(line))]

    @cached_property
    def reserved(self) -> Reserved:
        """The time for which replicas and GPUs were reserved, over all processes."""
        return reserved_by(self.snapshots)

    @cached_property
    def models(self) -> dict[str, Spent]:
        """The usage of the models beside main."""
        return by_model(self.snapshots)

    def bytes_on_disk(self) -> int:
        """Of the whole folder; hard-linked files count once."""
        sizes = {}
        for folder, _, names in os.walk(self.folder.path):
            for name in names:
                try:
                    status = os.lstat(os.path.join(folder, name))
                except FileNotFoundError:  # renamed by a running run
                    continue
                sizes[status.st_dev, status.st_ino] = status.st_size
        return sum(sizes.values())

    def batches(self, split: Split, *columns: str) -> Iterator[pa.RecordBatch]:
        """All committed rows of a split, in order of the shards; all columns or these. Raises Unreadable."""
        for summary in self.manifest.summaries:
            name = self.folder.shard if split == "kept" else self.folder.rejected
            path = name(summary.index)
            try:
                with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
                    for batch in reader:
                        chosen = batch.select(columns) if columns else batch
                        chosen.validate(full=True)
                        yield chosen
            except (OSError, KeyError, pa.ArrowException) as error:
                raise Unreadable(f"{path}: can't be read ({reason(error)})") from None

    def values(self, split: Split, column: str) -> Counter[Any]:
        """Counts of a column's values over all committed rows, null as None. Reads only that column. Raises
        Unreadable."""
        counts: Counter[Any] = Counter()
        for batch in self.batches(split, column):
            for one in pc.value_counts(batch[column]).to_pylist():
                counts[one["values"]] += one["counts"]
        return counts

    def rounds(self, chosen: Callable[[str], bool]) -> Counter[tuple[str, str]]:
        """Counts of chosen operations in the lineages of committed rows, by step and operation.

        Branches of one record share rounds, and each round counts once. Raises Unreadable.
        """
        rounds: set[tuple[str, int, str, str, int]] = set()
        for batch in chain(self.batches("kept", "id", "lineage"), self.batches("rejected", "id", "lineage")):
            names = pc.struct_field(pc.list_flatten(batch["lineage"]), "operation")
            wanted = {name for name in pc.unique(names).to_pylist() if name is not None and chosen(name)}
            places = pc.list_parent_indices(batch["lineage"]).filter(pc.is_in(names, pa.array(wanted, pa.string())))
            for row in batch.take(pc.unique(places)).to_pylist():
                record = row["id"].partition("/")[0]
                rounds |= {
                    (record, place, one["step"], one["operation"], hash(one["text"]))
                    for place, one in enumerate(row["lineage"])
                    if one["operation"] in wanted
                }
        return Counter((step, operation) for _, _, step, operation, _ in rounds)

    def rejected(self, reason: str, most: int) -> list[Record]:
        """At most `most` rows with this rejection reason, such as `low_score` or `judge: low_score`, evenly spaced.
        Raises Unreadable."""
        reasons = {name: count for name, count in self.manifest.reasons.items() if reason in (name, _short(name))}
        wanted, found, start = set(spread(sum(reasons.values()), most)), [], 0
        for batch in self.batches("rejected"):
            names = zip(batch["rejected_by"].to_pylist(), batch["reason"].to_pylist(), strict=True)
            places = [place for place, (by, why) in enumerate(names) if f"{by}: {why}" in reasons]
            chosen = [place for at, place in enumerate(places, start) if at in wanted]
            found += batch.take(pa.array(chosen, pa.int64())).to_pylist()
            start += len(places)
        return found

    def commonest_error(self) -> str | None:
        """The most frequent error of records rejected as `error`. Raises Unreadable."""
        errors: Counter[str] = Counter()
        for batch in self.batches("rejected"):
            failed = batch.filter(pc.equal(batch["reason"], "error"))
            errors.update(one for one in failed["detail"].to_pylist() if one)
        return next((error for error, _ in errors.most_common(1)), None)

    def rows(self, split: Split, most: int, ids: Sequence[str] = ()) -> list[Record]:
        """At most `most` rows, evenly spaced; those with one of `ids` come first."""
        wanted, sought, start = set(spread(self.counts[split], most)), pa.array(ids, pa.string()), 0
        found: dict[int, Record] = {}
        named: dict[int, Record] = {}
        for batch in self.batches(split):
            here = [place - start for place in range(start, start + len(batch)) if place in wanted]
            if here:
                found |= {start + place: row for place, row in zip(here, batch.take(here).to_pylist(), strict=True)}
            if ids:
                asked = np.flatnonzero(pc.is_in(batch["id"], sought).to_numpy(zero_copy_only=False)).tolist()
                rows = batch.take(pa.array(asked, pa.int64())).to_pylist()
                named |= {start + place: row for place, row in zip(asked, rows, strict=True)}
            start += len(batch)
        rest = [place for place in found if place not in named]
        chosen = [*named][:most] + [rest[place] for place in spread(len(rest), max(0, most - len(named)))]
        return [(named | found)[place] for place in sorted(chosen)]


def _short(name: str) -> str:
    return name.rpartition(": ")[2]


def spread(count: int, most: int) -> list[int]:
    """At most `most` numbers below `count`, evenly spaced and deterministic, beginning with 0."""
    return list(range(count)) if count <= most else [place * count // most for place in range(most)]


def _snapshot(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("time"), int | float) else None
