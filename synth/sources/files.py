"""A source of files: jsonl, json, csv, parquet, arrow, or a folder that datasets.save_to_disk() made."""

import difflib
import glob
import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pyarrow as pa
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components import ConfigError
from synth.errors import reason
from synth.records import Record
from synth.sources import BadRow, Renamed, remote, tables
from synth.sources.remote import Remote
from synth.sources.text_formats import Bad, Torn, delimited, json_lines, json_list

Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "saved"]

_TEXT_READERS: dict[str, Any] = {
    "jsonl": json_lines,
    "json": json_list,
    "csv": delimited,
    "tsv": partial(delimited, delimiter="\t"),
}
_TABLE_READERS: dict[str, Any] = {"parquet": tables.parquet, "arrow": tables.arrow}
_ENDINGS = {one: one for one in get_args(Format) if one != "saved"} | {"ndjson": "jsonl", "feather": "arrow"}


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Files:
    """`path` is a file, a pattern such as `data/*.jsonl`, the URL of either in a store, or a list of these; files are
    read in the order of names.

    The format follows from the ending (`.gz` after it is for text) unless `format` says it. `split` chooses one of a
    saved dataset with several.
    """

    path: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
    format: Format | Literal["auto"] = "auto"
    split: str | None = None
    columns: Renamed = field(default_factory=dict)
    limit: Annotated[int, Field(ge=1)] | None = None
    repeat: Annotated[int, Field(ge=1)] = 1
    bad_rows: Literal["stop", "set_aside"] = "stop"

    def __str__(self) -> str:
        return ", ".join(self.path)

    def stamp(self) -> list[Any]:
        """Path, size and time of change of each file, or what its store has for that; of a saved dataset, of the files
        in it."""
        paths = [path for path, kind in self._files() for path in ([path] if kind != "saved" else _inside(path))]
        return [_stamp(path) for path in paths]

    def read(self) -> Iterator[Record | BadRow]:
        for path, kind in self._files():
            try:
                if kind in _TEXT_READERS:
                    yield from _read_text(path, _TEXT_READERS[kind])
                else:
                    yield from _TABLE_READERS[kind](path) if kind != "saved" else self._read_saved(path)
            except Torn as torn:
                raise ConfigError(f"source.path: {path}:{torn.line}: {torn}") from None
            except OSError as error:
                raise ConfigError(f"source.path: {path} can't be read ({error.strerror or error})") from None
            except (pa.ArrowException, EOFError) as error:
                raise ConfigError(f"source.path: {path} is no {kind} file that can be read: {error}") from None
            except ConfigError:
                raise
            except Exception as error:
                if isinstance(path, Path):
                    raise
                raise ConfigError(f"source.path: {path} can't be read ({reason(error)})") from None

    def _read_saved(self, path: Path | Remote) -> Iterator[Record]:
        from datasets import DatasetDict, load_from_disk

        data = load_from_disk(str(path))
        if isinstance(data, DatasetDict):
            split = self.split or (next(iter(data)) if len(data) == 1 else "")
            if split not in data:
                raise ConfigError(f"source.split: {path} has no split {split!r}; choose from {', '.join(data)}")
            data = data[split]
        yield from tables.dataset(data)

    def _files(self) -> list[tuple[Path | Remote, str]]:
        """The files there are, with the format of each. Raises ConfigError for one that is not there."""
        return [(path, self._format(path)) for given in self.path for path in _found(os.path.expanduser(given))]

    def _format(self, path: Path | Remote) -> str:
        if path.is_dir():
            if not {"state.json", "dataset_dict.json"} & {one.name for one in path.iterdir()}:
                raise ConfigError(f"source.path: {path} is a folder but no saved dataset; name files by {path}/*.jsonl")
            return "saved"
        if self.split is not None:
            raise ConfigError(f"source.split: only a saved dataset has splits, and {path} is a file")
        if self.format != "auto":
            return self.format
        ending = path.name.removesuffix(".gz").rpartition(".")[2].lower()
        if ending not in _ENDINGS:
            endings = ", ".join(f".{one}" for one in _ENDINGS)
            raise ConfigError(f"source.path: {path} ends in none of {endings}; say which it is by source.format=")
        return _ENDINGS[ending]


def _found(given: str) -> Sequence[Path | Remote]:
    if remote.is_remote(given):
        return remote.found(given)
    path = Path(given)
    if path.exists():
        return [path]
    if any(mark in given for mark in "*?["):
        if found := sorted(glob.glob(given, recursive=True)):
            return [Path(one) for one in found]
        raise ConfigError(f"source.path: no file matches {given!r}")
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"; did you mean {str(path.with_name(close[0]))!r}?" if close else ""
    raise ConfigError(f"source.path: there is no file {given!r}{hint}")


def _inside(folder: Path | Remote) -> Sequence[Path | Remote]:
    if isinstance(folder, Remote):
        return folder.files()
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _stamp(path: Path | Remote) -> list[Any]:
    if isinstance(path, Remote):
        return path.stamp()
    return [str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns]


def _read_text(path: Path | Remote, reader: Any) -> Iterator[Record | BadRow]:
    with path.open("rb") as plain, gzip.open(plain) if path.name.endswith(".gz") else plain as file:
        for line, row in reader(file):
            yield BadRow(str(path), line, str(row)) if isinstance(row, Bad) else row
