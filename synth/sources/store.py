"""A source's rows in a run's folder, RUN_DIR/source/: written once, read by number from any worker on any node.

`rows.jsonl` has a row per line. `offsets` has the position and checksum of each row (see `_PLACE`, and one for the
end), so that a row takes two reads. `bad_rows.jsonl` has unusable rows. `source.json` describes the source, with
checksums of the other files and of itself. A run checks all files when it begins, and reads its source again if one is
damaged; a worker checks each row that it reads.

The slices of a run read the source once: the first one puts a copy into the whole run's folder, to which the others
make hard links.

Promises: the folder is replaced atomically. The same rows have the same `content`, wherever they were read from; with
the number of repeats, it represents the source in a run's identity.
"""

import hashlib
import json
import logging
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from synth.errors import ConfigError, nearest
from synth.records import Record, Rejection
from synth.sources import Bad, BadRow, DrawnSource, Source, is_drawn
from synth.sources.kinds import note
from synth.sources.row_lines import written
from synth.storage.lock import locked_file
from synth.storage.new_paths import NewPaths
from synth.storage.run_folder import link, unfinished_name
from synth.storage.sealed import Damaged, read_sealed, write_sealed
from synth.storage.shard import checksum, damage

log = logging.getLogger(__name__)

_FILES = ("rows.jsonl", "offsets", "bad_rows.jsonl")
_PLACE = struct.Struct("<QI")  # byte offset of a row in rows.jsonl, and the CRC-32 of its line


@dataclass(frozen=True)
class Contents:
    """The contents of a source: usable rows, unusable rows, column names with the kinds of their values (kinds.py), and
    a checksum.

    With `content` None there is no source: records without end, from nothing. Records that are `drawn` from rows have
    no end either.
    """

    rows: int = 0
    bad_rows: int = 0
    columns: list[str] = field(default_factory=list)
    content: str | None = None
    repeat: int = 1
    kinds: dict[str, list[str]] = field(default_factory=dict)
    drawn: bool = False

    @property
    def size(self) -> int | None:
        """The number of records, rows times repeats; None without end."""
        return None if self.content is None or self.drawn else self.rows * self.repeat

    @property
    def identity(self) -> dict[str, Any]:
        return {} if self.content is None else {"content": self.content, "repeat": self.repeat}


class DrawnRows:
    """The drawn rows of a DrawnSource, `row(number)`. Thread-safe."""

    def __init__(self, source: DrawnSource, folder: Path, seed: int):
        self._source, self._seed, self._rows = source, seed, Rows(folder)

    def row(self, number: int) -> Record | Rejection:
        """A Rejection if the record can't be drawn. Raises OSError."""
        try:
            return self._source.drawn(self._seed, number, self._rows)
        except Rejection as rejection:
            return rejection


def rows_of(source: Source | None, folder: Path, seed: int) -> "Rows | DrawnRows | None":
    """The rows of records by number, None without a source. Raises OSError."""
    if is_drawn(source):
        return DrawnRows(source, folder, seed)
    return Rows(folder) if source else None


class Rows:
    """The rows in a folder, `row(number)`. Thread-safe. Raises OSError."""

    def __init__(self, folder: Path):
        self._path = folder / "rows.jsonl"
        self._offsets = os.open(folder / "offsets", os.O_RDONLY)
        self._lines = os.open(self._path, os.O_RDONLY)
        self._size = os.fstat(self._lines).st_size
        try:
            self._count: int = read_sealed(folder / "source.json")["contents"]["rows"]
        except Damaged as error:
            raise OSError(str(error)) from None
        if os.fstat(self._offsets).st_size != (self._count + 1) * _PLACE.size:
            raise OSError(f"{folder / 'offsets'} is damaged; run again")

    def __len__(self) -> int:
        return self._count

    def row(self, number: int) -> Record:
        """Numbers beyond the last row wrap around. Raises OSError."""
        places = os.pread(self._offsets, 2 * _PLACE.size, number % self._count * _PLACE.size)
        (start, expected), (stop, _) = _PLACE.iter_unpack(places)
        line = b""
        while start + len(line) < stop <= self._size:  # a read returns 2 GiB at most, less on some network file systems
            part = os.pread(self._lines, stop - start - len(line), start + len(line))
            if not part:
                break
            line += part
        if not line or zlib.crc32(line) != expected:
            raise OSError(f"{self._path} is damaged: the checksum of row {number % self._count} differs; run again")
        row: Record = json.loads(line.decode("utf-8", "surrogatepass"))
        return row


def survey(source: Source | None, *folders: Path) -> Contents:
    """The contents of the source, without writing: from a folder with its rows, else by reading it.

    Raises ConfigError: missing files, bad rows (unless they are set aside), no rows, or a missing column.
    """
    if source is None:
        return Contents()
    stamp = source.stamp()
    known = next((known for folder in folders if (known := _known(source, folder, stamp))), None)
    return known or _read(source, lambda line: None, lambda bad: None)


@contextmanager
def stored(
    source: Source | None, folder: Path, shared: Path | None = None, new: NewPaths | None = None
) -> Iterator[tuple[Contents, Callable[[], None]]]:
    """The contents of the source, and a function that moves them into the folder, replacing old ones; and into the
    folder `shared`, if concurrent processes do the same, of which only one reads the source.

    Raises ConfigError like `survey`. At the end of the context, contents that were not moved are removed, and also
    those that were moved if the `new` paths are not kept.
    """
    new = new or NewPaths()
    if source is None:
        yield Contents(), lambda: None
        return
    stamp = source.stamp()
    if known := _whole(source, folder, stamp):
        yield known, lambda: None
        return
    with ExitStack() as alone, _unfinished(folder, new) as unfinished:
        if shared and not alone.enter_context(_alone(shared, new)):
            shared = None
        known = _whole(source, shared, stamp) if shared else None
        if shared and known:
            _link_all(shared, unfinished)
        contents = known or _write(source, unfinished, stamp)

        def commit() -> None:
            if shared and not known:
                with _unfinished(shared, new) as copy:
                    _link_all(unfinished, copy)
                    _replace(copy, shared, new)
            _replace(unfinished, folder, new)
            alone.close()

        yield contents, commit


@contextmanager
def _unfinished(folder: Path, new: NewPaths) -> Iterator[Path]:
    """An empty temporary folder, removed at the end unless it was renamed."""
    new.folder(folder.parent)
    unfinished = unfinished_name(folder)
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed process with the same process id
    unfinished.mkdir()
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _replace(unfinished: Path, folder: Path, new: NewPaths) -> None:
    for path in [folder, *(folder / path.name for path in unfinished.iterdir())]:
        new.file(path)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _link_all(source: Path, target: Path) -> None:
    for path in source.iterdir():
        link(path, target / path.name)


@contextmanager
def _alone(folder: Path, new: NewPaths) -> Iterator[bool]:
    """Mutual exclusion of processes; the end of a process releases it. False if the file system has no locks."""

    def wait() -> None:
        print("source: waiting for another slice that is reading it", file=sys.stderr)

    with locked_file(folder.with_name(f".{folder.name}.lock"), new=new, wait=wait) as (_, has_locks):
        yield has_locks


def _write(source: Source, folder: Path, stamp: Any) -> Contents:
    with (
        (folder / "rows.jsonl").open("wb") as lines,
        (folder / "offsets").open("wb") as offsets,
        (folder / "bad_rows.jsonl").open("w") as bad_rows,
    ):
        end = 0

        def keep(line: bytes) -> None:
            nonlocal end
            offsets.write(_PLACE.pack(end, zlib.crc32(line)))
            end += lines.write(line)

        contents = _read(source, keep, lambda bad: print(json.dumps(asdict(bad)), file=bad_rows))
        offsets.write(_PLACE.pack(end, 0))
        for file in (lines, offsets, bad_rows):
            file.flush()
            os.fsync(file.fileno())
    description = {"settings": _settings(source), "stamp": stamp, "contents": asdict(contents)}
    write_sealed(
        folder / "source.json", description | {"checksums": {name: checksum(folder / name) for name in _FILES}}
    )
    return contents


def _known(source: Source, folder: Path, stamp: Any) -> Contents | None:
    """The contents by the folder's description, if it is of this source."""
    description = _described(source, folder, stamp)
    return replace(Contents(**description["contents"]), repeat=source.repeat) if description else None


def _whole(source: Source, folder: Path, stamp: Any) -> Contents | None:
    """The same, if no file is damaged; damage is logged. Reads all files."""
    description = _described(source, folder, stamp)
    for name, expected in description["checksums"].items() if description else ():
        path = folder / name
        if not path.exists() or checksum(path) != expected:
            log.warning("%s is %s: the source is read again", path, damage(path))
            return None
    return replace(Contents(**description["contents"]), repeat=source.repeat) if description else None


def _described(source: Source, folder: Path, stamp: Any) -> dict[str, Any] | None:
    path = folder / "source.json"
    try:
        description = read_sealed(path)
    except (OSError, Damaged):
        if folder.exists():
            log.warning("%s is %s: the source is read again", path, damage(path))
        return None
    return description if description["settings"] == _settings(source) and description["stamp"] == stamp else None


def _settings(source: Source) -> dict[str, Any]:
    """All settings that determine the rows."""
    kind = f"{type(source).__module__}.{type(source).__qualname__}"
    given = {name: str(value) for name, value in sorted(vars(source).items()) if not _is_no_setting(name)}
    return {"source": kind, **given}


def _is_no_setting(name: str) -> bool:
    return name == "repeat" or name.startswith("_")


def _read(source: Source, keep: Callable[[bytes], None], set_aside: Callable[[BadRow], None]) -> Contents:
    digest = hashlib.blake2b(digest_size=8)
    rows, bad, first_bad = 0, 0, ""
    kinds: dict[str, list[str]] = {}
    for number, given in enumerate(source.read(), 1):
        made = given if isinstance(given, BadRow) else written(given, source.columns)
        if isinstance(made, Bad):
            made = BadRow(str(source), number, str(made))
        if isinstance(made, BadRow):
            bad_row = f"{made.file}:{made.line}: {made.reason}" if made.line else f"{made.file}: {made.reason}"
            if source.bad_rows == "stop":
                raise ConfigError(f"source: {bad_row}; set source.bad_rows=set_aside to go on without such rows")
            bad, first_bad = bad + 1, first_bad or bad_row
            set_aside(made)
            continue
        row, line = made
        keep(line)
        digest.update(line)
        note(kinds, row)
        rows += 1
        if rows == source.limit:
            break
    if is_drawn(source):
        return Contents(rows, bad, list(source.kinds), digest.hexdigest(), kinds=source.kinds, drawn=True)
    if not rows:
        but = f" but {bad} bad ones, first {first_bad}" if bad else ""
        raise ConfigError(f"source: {source} has no rows{but}")
    for new, old in source.columns.items():
        if new not in kinds:
            raise ConfigError(f"source.columns.{new}: there is no column {old!r}{nearest(old, kinds)}")
    return Contents(rows, bad, list(kinds), digest.hexdigest(), source.repeat, kinds)
