"""Staggers the start of equal engines: the first one starts alone, the others after it and all together.

The first one reads the weights into the page cache and compiles; the others find both. Eight engines that start at once
would read and compile eight times. The system releases the lock if the first one's process ends. If machines share the
folder, only one engine over all of them compiles.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

POLL_S = 0.2
# File systems where memory-mapping reads small pieces from a server. For NFS vLLM has its own solution.
_NETWORK = ("lustre", "gpfs", "beegfs", "ceph", "wekafs", "fuse.juicefs", "cifs", "smb3", "9p")


@asynccontextmanager
async def first_alone(folder: Path, key: str) -> AsyncIterator[None]:
    """A context for the start of an engine; `key` is equal for equal engines. If `folder` is not writable, all engines
    start at once."""
    done, lock = folder / f"{key}.started", None
    if not done.exists():
        lock = await _turn(folder / f"{key}.lock", done)
    try:
        yield
        with suppress(OSError):
            done.touch()
    finally:
        if lock is not None:
            os.close(lock)


async def _turn(path: Path, done: Path) -> int | None:
    """The lock; None if it is not needed any more, or not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None
    try:
        while not done.exists():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                await asyncio.sleep(POLL_S)
    except OSError:  # a file system without locks
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


def is_to_be_prefetched(folder: Path | None) -> bool:
    """Whether to read weights sequentially before loading: they are on a network, and memory suffices."""
    if folder is None or not is_on_network(folder):
        return False
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) < memory / 2


def is_on_network(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a folder is on a network file system other than NFS. False if unknown."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
        whole = path.resolve()
    except OSError:
        return False
    points = [(Path(line[1]), line[2]) for line in lines if len(line) > 2]
    around = [(len(point.parts), kind) for point, kind in points if whole.is_relative_to(point)]
    return bool(around) and max(around)[1] in _NETWORK
