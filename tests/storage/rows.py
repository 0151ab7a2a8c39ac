"""Finished records for tests, the smallest that fill every contract column, and whole runs of them."""

from pathlib import Path

import pyarrow as pa

from synth.records import Finished, Record, Shard
from synth.storage.card import write_card
from synth.storage.journal import Journal
from synth.storage.manifest import Manifest
from synth.storage.merge import merge
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit


def shard_rows(path: Path) -> list[Record]:
    """Those of a shard, kept or rejected."""
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all().to_pylist()


def kept(id: str, text: str = "words") -> Record:
    return {
        "id": id,
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "answer"}],
        "instruction": text,
        "response": "answer",
        "system_prompt": None,
        "strategy": "test",
        "model": "none",
        "seed": 7,
        "lineage": [{"step": "test", "text": text, "operation": None}],
        "usage": {"prompt_tokens": 3, "cached_tokens": 1, "completion_tokens": 5},
        "finish_reason": "stop",
    }


def rejected(id: str, reason: str = "empty_response") -> Record:
    return kept(id) | {"rejected_by": "test", "reason": reason, "detail": None}


def finished(number: int, rows: int = 1, rejections: int = 0) -> Finished:
    return Finished(
        number,
        kept=[kept(f"{number}/{n}") for n in range(rows)],
        rejected=[rejected(f"{number}/{rows + n}") for n in range(rejections)],
    )


def run_of(path, *rows, columns=None, shards=1, seed=1):
    """A finished run's folder with these rows, in so many shards."""
    folder = RunFolder(path)
    folder.make()
    kinds = columns or {}
    names = {name: str(kind) for name, kind in kinds.items()}
    manifest = Manifest({"strategy": {"name": "test"}, "seed": seed}, names, {"synth": "0"}, num_records=len(rows))
    size = -(-len(rows) // shards) or 1
    for index, start in enumerate(range(0, max(1, len(rows)), size)):
        shard = Shard(index, start, start + len(rows[start : start + size]) or start + 1)
        journal = Journal.open(folder.journal(index), kinds)
        for number in range(shard.start, shard.stop):
            row = [kept(str(number)) | dict.fromkeys(kinds) | rows[number]] if rows else []
            journal.append(Finished(number, kept=row))
        manifest.shards.append(shard)
        manifest.committed[index] = commit(folder, shard, journal, kinds, manifest.fingerprint)
    manifest.write(folder)
    count = merge([(folder, manifest)], folder.dataset)
    write_card(folder, [(folder, manifest)], count)
    return folder
