"""One dataset of several runs that have nothing to do with each other: all rows of each, run after run.

Ids are a run's own, so each row also gets a column `run` with its run's name: both together are unique. A column that a
run lacks is null in its rows, also a field of a turn. For the new column rows are copied, some thousand at a time; the
shards of one run (merge.py) are linked.

The dataset is replaced atomically. `runs.json` beside it has the configurations of all runs.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import pyarrow as pa

from synth.storage.manifest import Manifest
from synth.storage.merge import Unmergeable, first_rows, replaced_dataset, write_metadata
from synth.storage.run_folder import RunFolder
from synth.storage.sealed import Damaged, read_sealed, write_sealed
from synth.storage.shard import ShardSummary, checksum, shard_schema, stream

RUN = "run"  # the column
RUNS = "runs.json"


@dataclass
class Member:
    """A run of the dataset: its folder, and its parts if it is in slices."""

    path: Path
    parts: Sequence[tuple[RunFolder, Manifest]]
    name: str = ""

    @property
    def num_records(self) -> int | None:
        wanted = [manifest.num_records for _, manifest in self.parts]
        return None if None in wanted else max(one for one in wanted if one is not None)

    @property
    def shards(self) -> list[tuple[Path, ShardSummary, int]]:
        """The files with kept rows, and how many of their rows count."""
        found = first_rows(self.parts, self.num_records)
        return [(folder.shard(summary.index), summary, count) for (folder, summary), count in found if count]

    @property
    def rows(self) -> int:
        return sum(count for _, _, count in self.shards)

    @property
    def ranges(self) -> dict[str, list[tuple[int, int]]]:
        """The records of its shards by the configurations that they are of."""
        found: dict[str, list[tuple[int, int]]] = {}
        for _, manifest in self.parts:
            for summary in manifest.summaries:
                for fingerprint in summary.made_by:
                    found.setdefault(fingerprint, []).append((summary.start, summary.stop))
        return found


def named(members: Sequence[Member]) -> None:
    """Give each the shortest end of its path that no other has. Raises Unmergeable if a folder is there twice."""
    paths = [Path(os.path.realpath(member.path)).parts for member in members]
    for number, (path, member) in enumerate(zip(paths, members, strict=True)):
        others = [*paths[:number], *paths[number + 1 :]]
        if path in others:
            raise Unmergeable(f"{member.path}: is given twice")
        length = next(
            size for size in range(1, len(path) + 1) if path[-size:] not in [other[-size:] for other in others]
        )
        member.name = "/".join(path[-length:])


def refuse_same_rows(members: Sequence[Member]) -> None:
    """Raises Unmergeable if two of them have records of one configuration in common: these are the same rows."""
    for one, other in combinations(members, 2):
        of_other = other.ranges
        for fingerprint, ranges in one.ranges.items():
            both = sorted([*ranges, *of_other.get(fingerprint, [])])
            for (_, stop), (start, end) in pairwise(both):
                if start < stop:
                    last = min(stop, end) - 1
                    raise Unmergeable(
                        f"{other.path}: is the same run as {one.path}, and both have records {start} to {last}; "
                        "leave one out"
                    )


def schema_of(members: Sequence[Member]) -> pa.Schema:
    """All columns of all runs, in the order in which they come up, then `run`. Raises Unmergeable."""
    fields: dict[str, tuple[pa.Field, Member]] = {}
    for member in members:
        for field in shard_schema(member.shards[0][0]) if member.shards else ():
            if field.name == RUN:
                raise Unmergeable(f"{member.path}: has a column {RUN!r} already; runs with one can't be merged")
            before, of = fields.get(field.name, (field, member))
            try:
                both = pa.unify_schemas([pa.schema([before]), pa.schema([field])])
            except pa.ArrowException:
                raise Unmergeable(
                    f"{member.path}: column {field.name!r} is {field.type}, and {before.type} in {of.path}; "
                    "give both runs the same type"
                ) from None
            fields[field.name] = both.field(0).with_nullable(True), of
    if not fields:
        raise Unmergeable(f"{members[0].path}: has no committed shard with rows yet, and neither has another run")
    return pa.schema([*(field for field, _ in fields.values()), pa.field(RUN, pa.string())])


def unite(members: Sequence[Member], destination: Path) -> int:
    """Write the rows of named runs as a dataset at `destination`, and return their number. Raises Unmergeable and
    OSError."""
    schema = schema_of(members)
    files = [(member, path, count) for member in members for path, _, count in member.shards]
    with replaced_dataset(destination) as dataset:
        checksums = {}
        for place, (member, path, count) in enumerate(files):
            name = f"data-{place:05}-of-{len(files):05}.arrow"
            with stream(dataset / name, schema) as writer:
                for batch in _batches(path, count):
                    writer.write_table(_conformed(pa.Table.from_batches([batch]), schema, member.name))
            checksums[name] = checksum(dataset / name)
        made_by = {
            fingerprint for member in members for _, manifest in member.parts for fingerprint in manifest.fingerprints
        }
        write_metadata(dataset, checksums, schema, checksums.values(), made_by)
    return sum(count for _, _, count in files)


def write_runs(folder: RunFolder, members: Sequence[Member]) -> None:
    """Raises OSError."""
    runs = [
        {
            "run": member.name,
            "folder": str(member.path),
            "rows": member.rows,
            "configurations": [
                {
                    "fingerprint": configuration.fingerprint,
                    "identity": configuration.identity,
                    "versions": configuration.versions,
                }
                for _, manifest in member.parts[:1]
                for configuration in manifest.configurations
            ],
        }
        for member in members
    ]
    write_sealed(folder.path / RUNS, {"runs": runs})


def names_of_runs(folder: RunFolder) -> list[str]:
    """The folders of the runs that are merged in a folder; none if it is no such folder."""
    try:
        return [str(one["folder"]) for one in read_sealed(folder.path / RUNS)["runs"]]
    except (OSError, Damaged, KeyError, TypeError):
        return []


def _batches(path: Path, count: int) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield batch.slice(0, count)
            count -= len(batch)
            if count <= 0:
                return


def _conformed(table: pa.Table, schema: pa.Schema, run: str) -> pa.Table:
    """With all columns of the schema."""
    columns = []
    for field in schema:
        if field.name == RUN:
            columns.append(pa.array([run] * len(table), pa.string()))
        elif field.name in table.column_names:
            columns.append(table[field.name].cast(field.type))
        else:
            columns.append(pa.nulls(len(table), field.type))
    return pa.Table.from_arrays(columns, schema=schema)
