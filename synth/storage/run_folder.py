"""The paths in a run's folder, its lock, and atomic writes.

Knows nothing of what the files hold.
"""

import errno
import logging
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from synth.records import Slice
from synth.storage.lock import HAS_NONE, locked_file
from synth.storage.new_paths import NewPaths

log = logging.getLogger(__name__)

_LEFT = (".dataset.former", ".push", ".publish")  # left by killed processes, beside names from `unfinished_name`
_HOLDER = b"process "  # the first word in a lock file


class InUse(RuntimeError):
    """Another process has the folder's lock. The message names folder and process, if known."""


class RunFolder:
    """The paths of the run-folder contract below `path`."""

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.metrics = path / "metrics.jsonl"
        self.card = path / "README.md"
        self.report = path / "report.html"
        self.tracking = path / "tracking.json"
        self.dataset = path / "dataset"
        self.logs = path / "logs"
        self.source = path / "source"
        self.pool = path / "pool.jsonl"
        self.shards = path / "shards"
        self._slices = path / "slices"

    def shard(self, index: int) -> Path:
        return self.shards / f"{index:05}.arrow"

    def rejected(self, index: int) -> Path:
        return self.shards / f"{index:05}.rejected.arrow"

    def note(self, index: int) -> Path:
        return self.shards / f"{index:05}.json"

    def journal(self, index: int) -> Path:
        return self.shards / f"{index:05}.journal.arrow"

    def calls(self, index: int) -> Path:
        return self.shards / f"{index:05}.calls.arrow"

    def claims(self, index: int) -> Path:
        return self.shards / f"{index:05}.claims.arrow"

    @property
    def publishing(self) -> Path:
        """What the run calls itself where it publishes (synth/publishing/index.py). Also left by a run that was refused
        after it had written there."""
        return self.path / "publishing.json"

    @property
    def blocked(self) -> Path:
        """Reports of workers about steps that block them (synth/schedule/watchdog.py)."""
        return self.logs / "blocked.jsonl"

    def worker_log(self, index: int) -> Path:
        return self.logs / f"worker-{index}.log"

    def engine_log(self, model: str, number: int) -> Path:
        """Of an engine beside the workers."""
        return self.logs / f"{model}-{number}.log"

    def slice(self, one: Slice) -> "RunFolder":
        """The run folder of a slice of this run."""
        return RunFolder(self._slices / f"{one.number}-of-{one.of}")

    def slices(self) -> "dict[Slice, RunFolder]":
        """The run folders of all slices that exist, in order."""
        found: list[Slice] = []
        names: list[str] = []
        with suppress(OSError):  # an unreadable folder raises elsewhere
            names = os.listdir(self._slices)
        for name in names:
            with suppress(ValueError):
                found.append(Slice.parse(name.replace("-of-", "/")))
        return {one: self.slice(one) for one in sorted(found, key=lambda one: (one.of, one.number))}

    def make(self) -> None:
        """Raises OSError if the folder can't be created or written to."""
        for folder in (self.shards, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    def foreign(self) -> list[str]:
        """Files that a run would overwrite and that no run has written, such as a project's README.md; none if a run is
        there, or nothing yet. Empty folders don't count. Raises OSError."""
        lock = self.path / ".lock"
        if any(os.path.lexists(one.manifest) for one in (self, *self.slices().values())) or _holder(lock):
            return []  # its reader reports a bad manifest; the lock file shows a run that lost its manifest
        names = [*self._names(), *_LEFT]
        found = [name for name in names if _is_in_use(self.path / name, can_be_a_link=name in ("shards", "logs"))]
        if os.path.lexists(self._slices) and len(self.slices()) < len(list(self._slices.iterdir())):
            found.append(self._slices.name)
        if os.path.lexists(lock) and _holder(lock) is None:
            found.append(lock.name)
        return sorted(found)

    @contextmanager
    def locked(self, shared: bool = False, new: NewPaths | None = None) -> Iterator[None]:
        """Lock the folder for the time of the context, exclusive or `shared`. Raises InUse.

        If the `new` paths are not kept, the lock file is restored. The system releases the lock when the process ends.
        """
        path = self.path / ".lock"
        if shared and not os.access(self.path, os.W_OK):
            yield  # read-only access, which other processes can't see
            return
        with ExitStack() as held:
            try:
                file, has_locks = held.enter_context(locked_file(path, shared=shared, new=new))
            except BlockingIOError:
                holder = "another process"
                with suppress(OSError):
                    holder = path.read_text(errors="replace").strip() or holder
                raise InUse(f"{self.path} is in use by {holder}") from None
            if not has_locks:
                log.warning("%s: its file system has no locks, so a second run is not kept out", self.path)
            if not shared:
                held.enter_context(_holder_in(file, new))
            yield

    def clear(self) -> None:
        """Remove unfinished files of killed processes, and restore a dataset that one was replacing. The caller holds
        the lock. Raises OSError."""
        restore(self.dataset)
        for path in map(self.path.joinpath, _LEFT):
            shutil.rmtree(path, ignore_errors=True)
        names = tuple(f".{name}." for name in self._names())
        for path in [*self.path.glob(".*"), *self.shards.glob(".*")]:
            ours = path.parent == self.shards or path.name.startswith(names)
            if ours and path.suffix[1:].isdecimal():  # a name from `unfinished_name`
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)

    def _names(self) -> list[str]:
        """The paths that a run writes to in its folder, except its slices."""
        return [path.name for path in vars(self).values() if path not in (self.path, self._slices)]


@contextmanager
def _holder_in(file: IO[bytes], new: NewPaths | None) -> Iterator[None]:
    """Write the lock's holder into its file, for processes that are refused."""
    before, status = file.read(), os.fstat(file.fileno())
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    _rewrite(file, _HOLDER + f"{os.getpid()} on {socket.gethostname()} since {since}".encode())
    try:
        yield
    finally:
        if new is not None and not new.kept:
            with suppress(OSError):
                _rewrite(file, before)
                os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _rewrite(file: IO[bytes], content: bytes) -> None:
    file.seek(0)
    file.write(content)
    file.truncate()
    file.flush()


def _is_in_use(path: Path, can_be_a_link: bool) -> bool:
    """Whether there is anything but an empty folder."""
    if path.is_symlink() and not can_be_a_link:
        return True
    return any(path.iterdir()) if path.is_dir() else os.path.lexists(path)


def _holder(lock: Path) -> bytes | None:
    """The first word of a run's lock file, which may be empty; None if the file is another program's."""
    if not lock.is_file() or lock.is_symlink():
        return None
    with lock.open("rb") as file:
        found = file.read(len(_HOLDER))
    return found if found in (b"", _HOLDER) else None


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Atomic write: a temporary path, which is synced and renamed to `path` if the context succeeds."""
    unfinished = unfinished_name(path)
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)


def written_over(path: Path, mark: str) -> Path:
    """The resolved path, if a new file may replace it: there is none yet, or one with the program's own `mark` near its
    beginning. Raises FileExistsError for any other file."""
    target = Path(os.path.realpath(path))
    if target.is_file():
        with target.open("rb") as file:
            start = file.read(4096)
        if start and mark.encode() not in start:
            raise FileExistsError(errno.EEXIST, "it exists and was not written by this command", str(path))
    elif target.exists():
        raise FileExistsError(errno.EEXIST, "it is not a file", str(path))
    return target


def unfinished_name(path: Path) -> Path:
    """The temporary name under which this thread writes a file."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{threading.get_native_id()}")


def replace_folder(unfinished: Path, path: Path) -> None:
    """Rename a synced folder to its final name. A former one stays until then; if interrupted in between, `restore`
    brings it back."""
    former = _former(path)
    shutil.rmtree(former, ignore_errors=True)
    sync_folder(unfinished)
    if path.exists():
        path.rename(former)
    unfinished.rename(path)
    sync_folder(path.parent)
    shutil.rmtree(former, ignore_errors=True)


def restore(path: Path) -> None:
    """Bring back the former folder after an interrupted `replace_folder`."""
    if _former(path).exists() and not path.exists():
        _former(path).rename(path)


def _former(path: Path) -> Path:
    return path.with_name(f".{path.name}.former")


def link(source: Path, target: Path) -> None:
    """A hard link to a file that never changes, or a copy on file systems without hard links."""
    try:
        os.link(source, target)
    except OSError:  # another device, or no hard links
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the folder after a rename. Some network file systems refuse, and do it by themselves."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in HAS_NONE:
            raise
    finally:
        os.close(descriptor)
