"""Publishes the final rows of one run at one destination, a file at a time.

Promises: at any moment, also after a kill between any two calls, the destination has a first part of the dataset's rows
that `datasets` streams, none of them twice, and nothing that the merged dataset would not have. When `advance` has
returned for a finished run, it has the rows of the merged dataset in their order. A file that is there keeps its bytes
unless its rows have changed. Nothing is written where there is data of others.

What is there is read from the destination, at the start and after every failure; so a repeated call is harmless. One
thread at a time; the others wait.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from synth.publishing.contents import CARD, contents
from synth.publishing.destinations import Content, Unpublishable, destination, is_passing
from synth.publishing.index import INDEX, Index, RunName
from synth.publishing.layout import (
    FIRST,
    FinalRows,
    Part,
    Position,
    PublishedFile,
    count,
    digest,
    end_of,
    name_of,
)
from synth.publishing.rows import schema_of, write_rows
from synth.storage.card import card, exported
from synth.storage.hub import one_line
from synth.storage.manifest import Manifest
from synth.storage.parquet import DATA_FILES, ROWS_PER_FILE
from synth.storage.provenance import shares
from synth.storage.run_folder import RunFolder
from synth.storage.sealed import Damaged
from synth.storage.shard import ShardSummary

BYTES_PER_FILE = 256 << 20  # of Arrow, which is several times a Parquet file
INTERVAL_S = 60.0  # between two new files; the Hub allows 128 commits an hour
SHARE = 0.01  # and at least this part of the time since the start, so that the files of a long run stay few


class Publisher:
    """`to` is a checked destination, `schema` the Arrow schema of the run's shards. `check`, then `begin`, then
    `advance` as often as there may be more."""

    def __init__(self, folder: RunFolder, to: str, schema: Any, clock: Callable[[], float] = time.monotonic):
        self.to = to
        self._folder, self._clock = folder, clock
        self._destination = destination(to)
        self._schema = schema_of(schema)
        self._lock = threading.Lock()
        self._files: list[PublishedFile] | None = None  # as the destination has them; None: to be read there
        self._leftovers: list[str] = []  # of a killed upload
        self._card = ""
        self._began = self._latest = clock()
        try:
            self._run = RunName.of(folder)
        except Damaged as error:
            raise Unpublishable(str(error)) from None

    @property
    def rows(self) -> int:
        """Published so far, as far as known."""
        return sum(file.rows for file in self._files or ())

    def check(self, wanted: int | None) -> None:
        """Read what is there. Raises Unpublishable if it is of others, or more than the `wanted` rows; or can't be
        read, unless this run has published there before and the failure may pass."""
        with self._lock, self._refusals():
            self._destination.prepare()
            self._look()
        if wanted is not None and wanted < self.rows:
            raise Unpublishable(
                f"{self.to} has {self.rows:,} rows of this run, and num_records={wanted:,} asks for fewer; "
                f"set {self.rows:,} or more, or choose another destination"
            )

    def begin(self, manifest: Manifest) -> None:
        """Write the first files, or the card anew: what is there streams from now on. Raises Unpublishable like
        `check`, and OSError of the run's folder."""
        with self._lock:
            is_new = self._run.begin(self._folder, self.to)
            try:
                with self._refusals():
                    if not self._start(manifest):
                        self._write({}, self._there, self._text(manifest, self._there))
            except Unpublishable:
                if is_new:
                    with suppress(Exception):  # of the client: then something may be there
                        if INDEX not in self._destination.names():
                            self._run.withdraw(self._folder, self.to)
                raise

    def advance(self, manifest: Manifest, *, last: bool = False, card: str | None = None) -> None:
        """Publish what is final by now and due; all of it if this is the `last` call, with the run's `card` if that is
        finished. `manifest` must not change meanwhile. Raises whatever the destination's client raises."""
        with self._lock:
            final = FinalRows(manifest)
            if not last and self._files is not None and not self._is_due(final):
                return
            self._start(manifest)
            self._correct(final, manifest)
            while last or self._is_due(final):
                parts = self._next(final)
                if not parts:
                    break
                self._append(parts, manifest)
            if last:
                text = self._as_published(card) if card else self._text(manifest, self._there, final.all_there)
                if self._leftovers or text != self._card:
                    self._write({}, self._there, text)

    @property
    def _there(self) -> list[PublishedFile]:
        assert self._files is not None  # after `_start`
        return self._files

    def _start(self, manifest: Manifest) -> bool:
        """Know what is there, and have at least an empty file there: without any, nothing can be streamed. Returns
        whether it was written now."""
        if self._files is None:
            self._look()
        if self._there:
            return False
        self._run.begin(self._folder, self.to)
        if not self._destination.writes_at_once:  # by the index the file is known as this run's
            self._destination.write({INDEX: Index(self._run.name).as_bytes()})
        self._replace(0, PublishedFile(FIRST, FIRST, 0, digest([]), ""), [], manifest)
        return True

    def _look(self) -> None:
        """Read what the destination has. Raises Unpublishable, and whatever its client raises."""
        self._files = None
        self._files, self._leftovers = contents(self._destination, self.to, self._run.name)
        self._card = ""

    def _is_due(self, final: FinalRows) -> bool:
        new = final.rows - self.rows
        pause = max(INTERVAL_S, SHARE * (self._clock() - self._began))
        return new >= ROWS_PER_FILE or (new > 0 and self._clock() - self._latest >= pause)

    def _next(self, final: FinalRows) -> list[Part]:
        return final.next_file(self._end, ROWS_PER_FILE, BYTES_PER_FILE, self._size)

    @property
    def _end(self) -> Position:
        return self._there[-1].end

    def _size(self, shard: ShardSummary) -> int:
        return self._folder.shard(shard.index).stat().st_size

    def _append(self, parts: list[Part], manifest: Manifest) -> None:
        place, start = len(self._there), Position(parts[0].shard.index, parts[0].first)
        if self._there[0].rows == 0 and place == 1:  # instead of the empty one
            place, start = 0, FIRST
        new = PublishedFile(start, end_of(parts, start), count(parts), digest(parts), "")
        self._replace(place, new, parts, manifest)
        self._latest = self._clock()

    def _correct(self, final: FinalRows, manifest: Manifest) -> None:
        """Replace files whose rows have changed: shards are committed anew by `retry`, and after damage."""
        place = 0
        while place < len(self._there):
            file = self._there[place]
            last = place + 1 == len(self._there)
            parts = final.between(file.start, file.end if last else self._there[place + 1].start)
            if parts is None:
                return  # some of its records are run again
            if digest(parts) == file.made_of:
                place += 1
            elif parts or not place:
                self._replace(place, replace(file, rows=count(parts), made_of=digest(parts)), parts, manifest)
                place += 1
            else:
                files = self._there[:place] + self._there[place + 1 :]
                self._write({}, files, self._text(manifest, files), [file.name])

    def _replace(self, place: int, new: PublishedFile, parts: Sequence[Part], manifest: Manifest) -> None:
        """Write the file at this place, or behind all; an unchanged one only changes its entry in the index."""
        before = self._there[place : place + 1]
        unsent = self._folder.path / ".publish"
        shutil.rmtree(unsent, ignore_errors=True)
        unsent.mkdir(parents=True)
        try:
            path = unsent / Path(name_of(new.start)).name
            new = replace(new, sha256=write_rows(self._folder, parts, self._schema, path))
            files = [*self._there[:place], new, *self._there[place + 1 :]]
            same = bool(before) and before[0].sha256 == new.sha256
            self._write({} if same else {new.name: path}, files, self._text(manifest, files))
        finally:
            shutil.rmtree(unsent, ignore_errors=True)

    def _write(
        self, data: dict[str, Content], files: list[PublishedFile], card: str, delete: Sequence[str] = ()
    ) -> None:
        index = Index(self._run.name, tuple(files))
        removed = [*(name for name in self._leftovers if name not in data), *delete]
        self._files = None  # if this fails, nobody knows how far it came
        self._destination.write({**data, INDEX: index.as_bytes(), CARD: card.encode()}, removed)
        self._files, self._leftovers, self._card = files, [], card

    def _text(self, manifest: Manifest, files: Sequence[PublishedFile], finished: bool = False) -> str:
        """The card of what is there, with the figures of the published shards."""
        rows = sum(file.rows for file in files)
        view = _up_to(manifest, files[-1].end)
        return self._as_published(card([view], shares([(self._folder, view)], rows), rows, finished=finished))

    def _as_published(self, card: str) -> str:
        return exported(card, self._destination.loads_by, DATA_FILES)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turns a client's exceptions into Unpublishable, except those that may pass where the run has published."""
        try:
            yield
        except Unpublishable:
            raise
        except Exception as error:
            if self.to in self._run.begun and is_passing(error):
                return
            why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
            raise Unpublishable(f"{self.to}: {why}") from None


def _up_to(manifest: Manifest, end: Position) -> Manifest:
    """The manifest of a run that has only the published shards."""
    last = end.shard if end.row else end.shard - 1
    committed = {index: one for index, one in manifest.committed.items() if index <= last}
    return replace(manifest, committed=committed)
