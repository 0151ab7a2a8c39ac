"""The results of a batch run as OpenAI's output file: a line for each request, in the order of the requests.

A line has `id`, `custom_id`, `response` and `error`. Where OpenAI has error lines in a file of their own, vLLM has all
lines in one: `separate` chooses the first. An error line has both `response.body.error`, as OpenAI's API answers, and
`error` with the number of the request's line; what was not the request's fault has no response.

Promises: rows are read in batches, so memory is constant; the same run gives the same bytes; a request that has no
result yet is counted, and has no line.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.batch.refused import STATUS, error_of
from synth.storage.export import Unexportable, new_files
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from synth.storage.sealed import Damaged, read_sealed

FORMAT = "openai_batch"
OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"
_COLUMNS = ("id", "custom_id", "line", "result", "model", "seed")
_ENDS = ("reason", "detail")
_OBJECTS = {"chat.completion": "chatcmpl", "text_completion": "cmpl"}  # with the beginning of an id

Runs = Sequence[tuple[RunFolder, Manifest]]
Line = tuple[int, str, str | None]  # record number, text, error code


@dataclass
class Results:
    """`lines` written, of these `errors` by code; `missing` requests without a result, None if the file's number of
    requests is not known any more."""

    lines: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    missing: int | None = None


def export_results(runs: Runs, destination: str, *, separate: bool = False) -> Results:
    """Write the results of a run, or of its slices, into the folder or URL `destination`.

    Raises Unexportable, and OSError. Does not check shards for damage (see Manifest.damaged).
    """
    for folder, manifest in runs:
        if not {"custom_id", "result"} <= manifest.columns.keys():
            raise Unexportable(f"{folder.path}: is no run of +strategy=batch, which {FORMAT} is for")
    done = Results()
    names = (OUTPUT, ERRORS) if separate else (OUTPUT,)
    with new_files(destination, names) as create, create(OUTPUT) as output:
        if not separate:
            _write(runs, output, output, done)
        else:
            with create(ERRORS) as errors:
                _write(runs, output, errors, done)
    requests = _requests(runs)
    done.missing = None if requests is None else requests - done.lines
    return done


def _write(runs: Runs, output: Any, errors: Any, done: Results) -> None:
    for _, text, code in _lines(runs):
        (output if code is None else errors).write(f"{text}\n".encode())
        done.lines += 1
        if code is not None:
            done.errors[code] += 1


def _requests(runs: Runs) -> int | None:
    """The number of requests in the run's source."""
    for folder, _ in runs:
        try:
            return int(read_sealed(folder.source / "source.json")["contents"]["rows"])
        except (OSError, Damaged):
            continue
    return None


def _lines(runs: Runs) -> Iterator[Line]:
    """In the order of records, shard by shard."""
    parts = [
        (summary.start, folder, summary.index, manifest) for folder, manifest in runs for summary in manifest.summaries
    ]
    for _, folder, index, manifest in sorted(parts, key=lambda part: part[0]):
        created = int(datetime.fromisoformat(manifest.created).timestamp())
        kept = (_answered(row, created) for row in _rows(folder.shard(index), _COLUMNS))
        failed = (_failed(row, created) for row in _rows(folder.rejected(index), (*_COLUMNS, *_ENDS)))
        yield from heapq.merge(kept, failed, key=lambda line: line[0])


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Raises Unexportable."""
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                yield from batch.select(columns).to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise Unexportable(f"{path}: can't be read ({error})") from None


def _answered(row: dict[str, Any], created: int) -> Line:
    result, name = row["result"] or "", _name(row, created)
    prefix = next(
        (prefix for object, prefix in _OBJECTS.items() if result.startswith(f'{{"object": "{object}", ')), None
    )
    if prefix is None:
        raise Unexportable(f"record {row['id']}: its column result is not that of synth.steps.batch")
    # The result is JSON already: not parsed, and not written anew.
    body = f'{{"id": "{prefix}-{name}", "created": {created}, '
    body += f'"model": {_json(row["model"])}, {result[1:]}'
    response = f'{{"status_code": 200, "request_id": "{name}", "body": {body}}}'
    head = f'{{"id": "batch_req_{name}", "custom_id": {_json(row["custom_id"])}'
    return int(row["id"]), f'{head}, "response": {response}, "error": null}}', None


def _failed(row: dict[str, Any], created: int) -> Line:
    code, name = row["reason"], _name(row, created)
    error = json.loads(row["result"]) if (row["result"] or "").startswith('{"message": ') else None
    error = error or error_of(code, row["detail"] or code)
    status, response = STATUS.get(code), None
    if status is not None:
        response = {"status_code": status, "request_id": name, "body": {"error": error}}
    short = {"code": code, "message": error["message"], "param": error["param"], "line": row["line"]}
    line = {"id": f"batch_req_{name}", "custom_id": row["custom_id"], "response": response, "error": short}
    return int(row["id"]), _json(line), code


def _name(row: dict[str, Any], created: int) -> str:
    """Unique to the request and the run."""
    return blake2b(f"{created} {row['seed']} {row['id']}".encode(), digest_size=12).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
