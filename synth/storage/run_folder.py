"""Where things are in a run's folder, and who may write there.

Knows names, the lock, and how a file comes to be whole or not at all; nothing of what the files hold.
"""

import errno
import fcntl
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from synth.records import Slice

log = logging.getLogger(__name__)

_HAS_NONE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # what a file system says of what it lacks


class InUse(RuntimeError):
    """Another process has a folder's lock. The message says which folder and process, as far as it can be told."""


class RunFolder:
    """The paths of the run-folder contract under `path`."""

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

    def claims(self, index: int) -> Path:
        return self.shards / f"{index:05}.claims.arrow"

    def worker_log(self, index: int) -> Path:
        return self.logs / f"worker-{index}.log"

    def slice(self, one: Slice) -> "RunFolder":
        """The run folder of a part of this run."""
        return RunFolder(self._slices / f"{one.number}-of-{one.of}")

    def slices(self) -> "dict[Slice, RunFolder]":
        """The run folders of all parts that there are, in the order of their numbers."""
        found: list[Slice] = []
        for path in self._slices.glob("*-of-*"):
            with suppress(ValueError):
                found.append(Slice.parse(path.name.replace("-of-", "/")))
        return {one: self.slice(one) for one in sorted(found, key=lambda one: (one.of, one.number))}

    def make(self) -> None:
        """Raises OSError where the folder can't be made or written to."""
        for folder in (self.shards, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    def unmake(self) -> None:
        """Takes the folder away, unless a record has been written there."""
        if not any(self.shards.glob("*")):
            shutil.rmtree(self.path)

    @contextmanager
    def locked(self, shared: bool = False) -> Iterator[None]:
        """The folder is this process's until the end of the context, or its and others' that share it. Raises InUse.

        The system drops the lock with the process, however it ends.
        """
        with (self.path / ".lock").open("a+") as lock:
            try:
                if not take_lock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                    log.warning("%s is on a file system without locks: nothing keeps a second run out of it", self.path)
            except BlockingIOError:
                lock.seek(0)
                raise InUse(f"{self.path} is in use by {lock.read().strip() or 'another process'}") from None
            if shared:
                yield
                return
            lock.truncate(0)
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            lock.write(f"process {os.getpid()} on {socket.gethostname()} since {since}")
            lock.flush()
            for unfinished in self.shards.glob(".*"):  # of processes that were killed
                unfinished.unlink(missing_ok=True)
            yield


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to. When the context ends well, what was written is on disk under `path`; else nothing is."""
    unfinished = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)


def take_lock(file: IO[Any], how: int) -> bool:
    """A lock that ends with the process; False where the file system has none. Raises BlockingIOError, at once."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _HAS_NONE:
            raise
        return False
    return True


def link(source: Path, target: Path) -> None:
    """A second name for a file that nobody changes any more, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:  # another device, or a file system without them
        shutil.copyfile(source, target)


def sync_folder(folder: Path) -> None:
    """A rename is on disk only when the folder is. Some network file systems can't be asked, and see to it alone."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _HAS_NONE:
            raise
    finally:
        os.close(descriptor)
