"""The records of a committed shard as finished records again, without those that are retried.

So the shard continues as if these records had not finished. Its files stay until it is committed anew. Not possible for
strategies whose records share a pool or dedup keys (combinations.py).
"""

from collections.abc import Collection, Iterator

import pyarrow as pa

from synth.records import Finished, Record, as_place
from synth.storage.journal import is_again
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary


def reopened(folder: RunFolder, summary: ShardSummary, again: Collection[str]) -> Iterator[Finished]:
    """In the order of their numbers. Raises OSError."""
    records: dict[int, Finished] = {}
    for path, name in ((folder.shard(summary.index), "kept"), (folder.rejected(summary.index), "rejected")):
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
            rows = reader.read_all().to_pylist()
        for row in rows:
            number = as_place(row["id"])[0]
            finished = records.setdefault(number, Finished(number, made_by=summary.maker(number)))
            getattr(finished, name).append(row)
    # Usage is known per outcome (kept, or a reason), not per row: the first row of each outcome gets all of it.
    left = dict(summary.spent)
    for number in sorted(records):
        finished = records[number]
        if not any(is_again(again, row["rejected_by"], row["reason"]) for row in finished.rejected):
            for row in (*finished.kept, *finished.rejected):
                if spent := left.pop(_end(row), None):
                    finished.spent[row["id"]] = spent
            yield finished


def _end(row: Record) -> str:
    return f"{row['rejected_by']}: {row['reason']}" if "rejected_by" in row else "kept"
