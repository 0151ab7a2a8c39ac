"""Exports a dataset to formats that other programs read: Parquet for all, ShareGPT and Alpaca for trainers.

Promises: rows are streamed in batches of some thousand, so memory is constant. The same rows give identical files, and
additional rows leave full Parquet files unchanged. No existing file is overwritten, and a failed export removes its
files. The destination can be any file system of fsspec.

Knows nothing of how a dataset was generated.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from synth.errors import reason
from synth.messages import thoughts_of
from synth.records import CUT, has_tool_calls
from synth.storage.card import exported
from synth.storage.merge import damaged_part
from synth.storage.new_paths import NewPaths
from synth.storage.parquet import DATA_FILES, ROWS_PER_FILE, tables_of, write_parquet
from synth.storage.run_folder import RunFolder
from synth.storage.shard import damage
from synth.tool_calls import as_json, calls_of, has_tool_fields, plain

Row = Mapping[str, Any]
_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


class Unexportable(ValueError):
    """A dataset or destination that can't be used. The message names it and the reason."""


class Unfit(ValueError):
    """A row that a format can't hold. The message is a short reason, by which rows are counted."""


@dataclass
class Exported:
    """`rows` written; `left_out` rows by reason; `cut` answers that max_tokens cut and that were excluded;
    `left_behind` columns that the format lacks."""

    rows: int = 0
    cut: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    left_behind: list[str] = field(default_factory=list)


def export(
    folder: RunFolder, format: str, destination: str, name: str | None = None, *, without_cut: bool = False
) -> Exported:
    """Write a run's dataset into `destination`, a folder or URL, in one of FORMATS; JSON lines optionally `without_cut`
    answers.

    `name` is the name to load it by in the card; by default the destination. Raises Unexportable and OSError.
    """
    dataset = dataset_of(folder)
    names, write = FORMATS[format]
    with new_files(destination, names) as create:
        done = write(dataset, create, without_cut)
        if not done.rows and done.cut and not done.left_out:
            raise Unexportable(f"{folder.dataset}: all {done.cut:,} answers were cut by max_tokens")
        if not done.rows and done.left_out:
            raise Unexportable(f"{folder.dataset}: no row fits the format {format}: {counts(done.left_out)}")
        if format == "parquet":
            with create("README.md") as file:
                text = folder.card.read_text("utf-8", errors="replace") if folder.card.exists() else ""
                file.write(exported(text, name or destination, DATA_FILES).encode())
    return done


def counts(reasons: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def _content(turn: Mapping[str, Any]) -> str:
    """A turn's text. Reasoning stands before it in <think> tags, as trainers of these formats expect."""
    thoughts = thoughts_of(dict(turn))
    return f"<think>\n{thoughts}\n</think>\n\n{turn['content']}" if thoughts else str(turn["content"])


def sharegpt(row: Row) -> Row:
    """`conversations` of {from, value}, with the system prompt. Tool calls and results of a turn are a list if there
    are several, and `tools` are JSON, as LLaMA-Factory reads them. Raises Unfit."""
    turns = row["messages"] or []
    if not turns:
        raise Unfit("without messages")
    conversation: list[dict[str, str]] = []
    for role, same in itertools.groupby(turns, lambda turn: turn["role"]):
        if role == "tool":
            results = [turn["content"] for turn in same]
            conversation.append({"from": "observation", "value": results[0] if len(results) == 1 else as_json(results)})
            continue
        if role not in _SPEAKERS:
            raise Unfit(f"with a turn of the role {role!r}")
        conversation += [
            _called(turn) if calls_of(turn) else {"from": _SPEAKERS[role], "value": _content(turn)} for turn in same
        ]
    tools = {"tools": row["tools"]} if row.get("tools") and has_tool_fields(turns) else {}
    return {"id": row["id"], "conversations": conversation, **tools}


def _called(turn: Mapping[str, Any]) -> dict[str, str]:
    """The tool calls of a turn. Raises Unfit."""
    if turn["content"]:
        raise Unfit("with text beside a tool call")
    calls = [plain(call) for call in calls_of(turn)]
    return {"from": "function_call", "value": as_json(calls[0] if len(calls) == 1 else calls)}


def alpaca(row: Row) -> Row:
    """`instruction`, `input`, `output` and `system` of a single exchange. Raises Unfit.

    An instruction that Self-Instruct joined from task and input is split again.
    """
    turns = list(row["messages"] or [])
    if row.get("tools") and has_tool_fields(turns):
        raise Unfit("with tools")
    system = turns.pop(0)["content"] if turns and turns[0]["role"] == "system" else ""
    roles = [turn["role"] for turn in turns]
    if roles != ["user", "assistant"]:
        raise Unfit("with several turns" if len(roles) > 2 else "without a response")
    instruction, task, input = turns[0]["content"], row.get("task"), row.get("input")
    if input and instruction == f"{task}\n\n{input}":
        instruction = task
    else:
        input = ""
    return {"instruction": instruction, "input": input, "output": _content(turns[1]), "system": system}


Create = Callable[[str], Any]  # a context manager with a new file of that name


def _parquet(dataset: Any, create: Create, without_cut: bool = False) -> Exported:
    rows, schema = dataset.with_format("arrow"), dataset.features.arrow_schema
    for number, start in enumerate(range(0, max(1, len(dataset)), ROWS_PER_FILE)):  # an empty dataset has one file too
        stop = min(start + ROWS_PER_FILE, len(dataset))
        with create(f"data/train-{number:05}.parquet") as file:
            write_parquet(file, schema, tables_of(rows, start, stop))
    return Exported(len(dataset))


Write = Callable[[Any, Create, bool], Exported]  # of a dataset; the flag excludes cut answers
_IN_MESSAGES = ("instruction", "response", "system_prompt")


def json_lines(name: str, convert: Callable[[Row], Row], read: tuple[str, ...]) -> Write:
    """A writer of JSON lines. `read` are the columns that it uses."""

    def write(dataset: Any, create: Create, without_cut: bool = False) -> Exported:
        known = (
            {*_IN_MESSAGES, *read}
            if has_tool_calls(_type_of(dataset, "messages"))
            else {*_IN_MESSAGES, *read} - {"tools"}
        )
        done = Exported(left_behind=[name for name in dataset.column_names if name not in known])
        needed = [*read, "finish_reason"]
        rows = dataset.select_columns([one for one in needed if one in dataset.column_names]).with_format("arrow")
        with create(name) as file:
            for table in rows.iter(1000):
                for row in table.to_pylist():
                    if without_cut and row["finish_reason"] in CUT:
                        done.cut += 1
                        continue
                    try:
                        line = json.dumps(convert(row), ensure_ascii=False)
                    except Unfit as reason:
                        done.left_out[str(reason)] += 1
                        continue
                    file.write(f"{line}\n".encode())
                    done.rows += 1
        return done

    return write


def _type_of(dataset: Any, column: str) -> Any:
    return dataset.features.arrow_schema.field(column).type


# File names that must be free in the destination, and the writer.
FORMATS: dict[str, tuple[tuple[str, ...], Write]] = {
    "parquet": (("data", "README.md"), _parquet),
    "sharegpt": (("sharegpt.jsonl",), json_lines("sharegpt.jsonl", sharegpt, ("id", "messages", "tools"))),
    "alpaca": (("alpaca.jsonl",), json_lines("alpaca.jsonl", alpaca, ("messages", "task", "input", "tools"))),
}


def dataset_of(folder: RunFolder) -> Any:
    """The merged dataset of a run, memory-mapped. Raises Unexportable."""
    from datasets import load_from_disk

    merging = f"; run python -m synth.merge {folder.path} to merge its committed shards"
    if not folder.dataset.is_dir():
        raise Unexportable(f"{folder.path}: has no dataset{merging if folder.manifest.exists() else ''}")
    if path := damaged_part(folder.dataset):
        raise Unexportable(f"{path}: is {damage(path)}{merging if folder.manifest.exists() else ''}")
    try:
        return load_from_disk(str(folder.dataset))
    except (OSError, ValueError, KeyError) as error:
        raise Unexportable(f"{folder.dataset}: can't be read: {reason(error)}") from None


@contextmanager
def new_files(destination: str, names: tuple[str, ...]) -> Iterator[Create]:
    """Create new files in a folder; they are removed if the context fails. Raises Unexportable."""
    try:
        system, path = fsspec.core.url_to_fs(destination)
        path = path.rstrip("/")
        is_local = isinstance(system, LocalFileSystem)
        exists = os.path.lexists if is_local else system.exists
        there = next((name for name in names if exists(f"{path}/{name}")), None)
    except OSError:
        raise
    except Exception as error:  # unknown protocol, missing package, or an error of the client
        raise Unexportable(f"{destination}: {reason(error)}") from None
    if there:
        raise Unexportable(f"{destination}/{there}: exists already; choose another folder")

    with NewPaths() as new:
        made: list[str] = []

        @contextmanager
        def create(name: str) -> Iterator[IO[bytes]]:
            file = f"{path}/{name}"
            if is_local:
                new.folder(Path(file).parent)
                new.file(Path(file))
            else:
                system.makedirs(file.rpartition("/")[0], exist_ok=True)
                made.append(file)
            with system.open(file, "wb") as opened:
                yield opened

        try:
            yield create
            new.keep()
        except BaseException:
            for file in made:
                if system.exists(file):
                    system.rm(file)
            raise
