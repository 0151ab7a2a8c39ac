"""Run folders for tests of what reads them: real journals, shards and manifests, with rows that a test gives."""

import json

from synth.configuration.column_types import type_from_text
from synth.records import CONTRACT_COLUMNS, Finished, Shard, Spent
from synth.storage.journal import Journal
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit

EMPTY = dict.fromkeys(CONTRACT_COLUMNS)
SPENT = {"magpie": Spent(2, 6, 1, 4, 0.375), "judge": Spent(1, 4, 1, 1, 0.125)}  # on each row


def kept(number, instruction="Write a story.", response="Once.", **more):
    usage = {"prompt_tokens": 10, "cached_tokens": 2, "completion_tokens": 5}
    messages = [{"role": "user", "content": instruction}, {"role": "assistant", "content": response}]
    row = {"id": str(number), "instruction": instruction, "response": response, "messages": messages, "usage": usage}
    return EMPTY | row | {"strategy": "mine", "model": "demo", "seed": 0, "finish_reason": "stop", "lineage": []} | more


def rejected(number, by="judge", reason="low_score", **more):
    return kept(number, **({"detail": None} | more)) | {"rejected_by": by, "reason": reason}


def make_run(path, rows, columns=None, shard_size=1000, identity=None, snapshots=(), num_records=None, strata=None):
    """A folder with all `rows` committed; a row with `rejected_by` is a rejection."""
    folder = RunFolder(path)
    folder.make()
    steps = {"magpie": {"_target_": "a.Magpie"}, "judge": {"_target_": "a.Judge"}}
    strategy = {"name": "mine", **steps, "steps": list(steps)}
    identity = {"strategy": strategy, "model": {"path": "demo"}, "seed": 0} | (identity or {})
    columns = columns or {}
    if strata:
        identity["strata"] = {column: dict(rows) for column, rows in strata.rows.items()}
    manifest = Manifest(identity, columns, {"synth": "0"}, num_records)
    types = {name: type_from_text(text) for name, text in columns.items()}
    for index, start in enumerate(range(0, len(rows), shard_size)):
        shard = Shard(index, start, min(start + shard_size, len(rows)))
        journal = Journal.open(folder.journal(index), types)
        for number in range(shard.start, shard.stop):
            row = dict.fromkeys(types) | rows[number]
            fates = ([], [row]) if "rejected_by" in row else ([row], [])
            journal.append(Finished(number, *fates, spent={row["id"]: SPENT}))
        manifest.shards.append(shard)
        manifest.committed[index] = commit(folder, shard, journal, types, manifest.fingerprint, strata=strata)
    manifest.write(folder)
    folder.metrics.write_text("".join(json.dumps(snapshot) + "\n" for snapshot in snapshots))
    return path
