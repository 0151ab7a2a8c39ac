"""A source of files: jsonl, json, csv, tsv, parquet, arrow, or a folder from datasets.save_to_disk()."""

import codecs
import gzip
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.errors import ConfigError, reason
from synth.records import Record
from synth.sources import Bad, BadRow, Renamed, Rows, Torn, tables
from synth.sources.delimited import CSV, TSV, Dialect, delimited
from synth.sources.json_text import json_lines, json_list
from synth.sources.paths import found, readable, stamp
from synth.sources.remote import Remote

log = logging.getLogger(__name__)

Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "saved"]

_JSON: dict[str, Callable[[BinaryIO], Rows]] = {"jsonl": json_lines, "json": json_list}
_DIALECTS = {"csv": CSV, "tsv": TSV}
_TABLES = {"parquet": tables.parquet, "arrow": tables.arrow}
_ENDINGS = {one: one for one in get_args(Format) if one != "saved"} | {"ndjson": "jsonl", "feather": "arrow"}

_GZIP = b"\x1f\x8b"
_NO_TEXT = {  # by the beginning of the file
    "UTF-16 or UTF-32": re.compile(b"|".join([codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, rb".?\0"]), re.DOTALL),
    "a zip archive": re.compile(rb"PK\x03\x04"),
    "compressed by zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
    "compressed by xz": re.compile(rb"\xfd7zXZ\0"),
    "compressed by bzip2": re.compile(rb"BZh[1-9]1AY&SY"),
}


def format_of(name: str) -> str | None:
    """The format by a file name's ending, if known."""
    return _ENDINGS.get(name.lower().removesuffix(".gz").rpartition(".")[2])


def _is_sign(given: str | None) -> str | None:
    sign = {"tab": "\t", "\\t": "\t", "": None}.get(given or "", given)
    if sign not in (None, "auto", "\t") and (len(sign) != 1 or not sign.isprintable()):
        raise ValueError("must be one character")
    return sign


_Sign = Annotated[str | None, AfterValidator(_is_sign)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Files:
    """`path` is a file, a pattern such as `data/*.jsonl`, the URL of either in a store, or a list of these; files are
    read in the order of their names.

    The format follows from the ending (text files may be compressed, `.gz`) unless `format` sets it. `split` selects a
    split of a saved dataset. `delimiter`, `quote` (null: none) and `escape` are for csv and tsv.
    """

    path: Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
    format: Format | Literal["auto"] = "auto"
    split: str | None = None
    delimiter: _Sign = "auto"
    quote: _Sign = "auto"
    escape: _Sign = None
    columns: Renamed = field(default_factory=dict)
    limit: Annotated[int, Field(ge=1)] | None = None
    repeat: Annotated[int, Field(ge=1)] = 1
    bad_rows: Literal["stop", "set_aside"] = "stop"

    def __post_init__(self) -> None:
        if self.delimiter is None:
            raise ValueError("delimiter: must be one character, or tab")
        for kind in _DIALECTS:
            dialect = self._dialect(kind)
            signs = [one for one in (dialect.delimiter, dialect.quote, dialect.escape) if one is not None]
            if len(set(signs)) != len(signs):
                raise ValueError("delimiter, quote and escape must be different characters")

    def __str__(self) -> str:
        return ", ".join(self.path)

    def stamp(self) -> list[Any]:
        """Path, size and modification time of each file, or its store's equivalent; for a saved dataset, of its
        files."""
        return [one for path, kind in self._files() for one in stamp(path, kind == "saved")]

    def read(self) -> Iterator[Record | BadRow]:
        for path, line, row in self.rows():
            yield BadRow(path, line, str(row)) if isinstance(row, Bad) else row

    def rows(self) -> Iterator[tuple[str, int, Record | Bad]]:
        """All rows, each with its file and its line or number. Raises ConfigError if none can be read, or no more."""
        for path, kind in self._files():
            with _as_config_error(path, kind):
                for line, row in self._rows(path, kind):
                    yield str(path), line, row

    def _rows(self, path: Path | Remote, kind: str) -> Rows:
        if kind == "saved":
            yield from tables.dataset(self._saved(path))
        elif kind in _TABLES:
            yield from _TABLES[kind](path)
        else:
            with _text(path) as file:
                yield from _JSON[kind](file) if kind in _JSON else delimited(file, self._dialect(kind))

    def _saved(self, path: Path | Remote) -> Any:
        from datasets import DatasetDict, load_from_disk

        data = load_from_disk(str(path))
        if not isinstance(data, DatasetDict):
            return data
        split = self.split or (next(iter(data)) if len(data) == 1 else "")
        if split not in data:
            raise ConfigError(f"source.split: {path} has no split {split!r}; choose from {', '.join(data)}")
        return data[split]

    def _dialect(self, kind: str) -> Dialect:
        usual = _DIALECTS[kind]
        delimiter = usual.delimiter if self.delimiter in (None, "auto") else self.delimiter
        quote = usual.quote if self.quote == "auto" else self.quote
        return Dialect(delimiter, quote, self.escape, is_given=self.delimiter != "auto")

    def _files(self) -> list[tuple[Path | Remote, str]]:
        """The files with their formats. Raises ConfigError for a missing one."""
        files = []
        for given in self.path:
            for path in found(given):
                with readable(path):
                    files.append((path, self._format(path)))
        signs = {"delimiter": self.delimiter != "auto", "quote": self.quote != "auto", "escape": self.escape}
        key = next((name for name, is_given in signs.items() if is_given), None)
        if key and not any(kind in _DIALECTS for _, kind in files):
            raise ConfigError(f"source.{key}: is for csv and tsv only, and {files[0][0]} is {files[0][1]}")
        return files

    def _format(self, path: Path | Remote) -> str:
        if path.is_dir():
            if not {"state.json", "dataset_dict.json"} & {entry.name for entry in path.iterdir()}:
                raise ConfigError(f"source.path: {path} is a folder, not a saved dataset; set {path}/*.jsonl for files")
            return "saved"
        if self.split is not None:
            raise ConfigError(f"source.split: is for a saved dataset only, and {path} is a file")
        if self.format != "auto":
            return self.format
        kind = format_of(path.name)
        if kind is None:
            endings = ", ".join(f".{one}" for one in _ENDINGS)
            raise ConfigError(f"source.path: {path} ends in none of {endings}; set source.format=")
        if path.name.lower().endswith(".gz") and kind in _TABLES:
            raise ConfigError(f"source.path: {path} can't be read: .gz is for text only; unpack it first")
        return kind


@contextmanager
def _as_config_error(path: Path | Remote, kind: str) -> Iterator[None]:
    """Turns any reading error into a ConfigError that names the file."""
    try:
        yield
    except ConfigError:
        raise
    except Torn as torn:
        place = f"{path}:{torn.line}" if torn.line else str(path)
        raise ConfigError(f"source.path: {place}: {torn}") from None
    except OSError as error:
        raise ConfigError(f"source.path: {path} can't be read ({error.strerror or reason(error)})") from None
    except Exception as error:  # many kinds, from libraries and stores
        log.debug("%s can't be read", path, exc_info=error)
        what = "saved dataset" if kind == "saved" else f"{kind} file"
        raise ConfigError(f"source.path: {path} is not a readable {what}: {reason(error)}") from None


@contextmanager
def _text(path: Path | Remote) -> Iterator[BinaryIO]:
    """A text file, decompressed. Raises Torn if it is not text."""
    plain: Any
    file: Any
    with path.open("rb") as plain, gzip.open(plain) if plain.peek(2)[:2] == _GZIP else plain as file:
        start = file.peek(10)[:10]
        for what, begins in _NO_TEXT.items():
            if begins.match(start):
                raise Torn(1, f"is {what}; text must be UTF-8, plain or compressed by gzip")
        yield file
