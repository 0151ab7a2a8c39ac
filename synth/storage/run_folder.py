"""Where things are in a run's folder, and who may write there.

Knows names, the lock, and how a file comes to be whole or not at all; nothing of what the files hold.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


class InUse(RuntimeError):
    """Another process has the folder's lock. `owner` says which, as far as it can be told."""

    def __init__(self, owner: str):
        super().__init__(owner)
        self.owner = owner


class RunFolder:
    """The paths of the run-folder contract under `path`."""

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.metrics = path / "metrics.jsonl"
        self.card = path / "README.md"
        self.report = path / "report.html"
        self.dataset = path / "dataset"
        self.logs = path / "logs"
        self.source = path / "source"
        self.pool = path / "pool.jsonl"
        self._shards = path / "shards"

    def shard(self, index: int) -> Path:
        return self._shards / f"{index:05}.arrow"

    def rejected(self, index: int) -> Path:
        return self._shards / f"{index:05}.rejected.arrow"

    def note(self, index: int) -> Path:
        return self._shards / f"{index:05}.json"

    def journal(self, index: int) -> Path:
        return self._shards / f"{index:05}.journal.arrow"

    def claims(self, index: int) -> Path:
        return self._shards / f"{index:05}.claims.arrow"

    def worker_log(self, index: int) -> Path:
        return self.logs / f"worker-{index}.log"

    def make(self) -> None:
        """Raises OSError where the folder can't be made or written to."""
        for folder in (self._shards, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder is this process's until the end of the context. Raises InUse.

        The system drops the lock with the process, however it ends.
        """
        with (self.path / ".lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise InUse(lock.read().strip() or "another process") from None
            lock.truncate(0)
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            lock.write(f"process {os.getpid()} on {socket.gethostname()} since {since}")
            lock.flush()
            for unfinished in self._shards.glob(".*"):  # of processes that were killed
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


def sync_folder(folder: Path) -> None:
    """A rename is on disk only when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
