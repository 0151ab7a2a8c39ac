"""File locks that the system releases when their process ends, however it does.

Promises: the lock is on the file that has the name now, even if other processes delete such files. A file system
without locks is distinguished from a lock that another process holds.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from synth.storage.new_paths import NewPaths

HAS_NONE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # from file systems without locks


@contextmanager
def locked_file(
    path: Path, *, shared: bool = False, new: NewPaths | None = None, wait: Callable[[], None] | None = None
) -> Iterator[tuple[IO[bytes], bool]]:
    """A locked file for the time of the context, exclusive or shared; and False if the file system has no locks.
    Created if missing.

    `wait` is called before waiting for another process's lock; without it BlockingIOError is raised, with the content
    of the file. At the end the file is removed if it was created here and the `new` paths are not kept.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    is_new, waited = False, False
    while True:
        file, made = _opened(path)
        is_new |= made
        with file:
            try:
                has_locks = take_lock(file, how)
            except BlockingIOError:
                if wait is None:
                    raise
                if not waited:
                    wait()
                waited = True
                fcntl.flock(file, how)
                has_locks = True
            if not _is_there(path, file):
                continue
            try:
                yield file, has_locks
            finally:
                if is_new and new is not None and not new.kept:
                    # The last process that shares it removes it.
                    with suppress(OSError):
                        take_lock(file, fcntl.LOCK_EX)
                        path.unlink()
            return


def take_lock(file: IO[Any], how: int) -> bool:
    """Lock until the process ends; False if the file system has no locks. Raises BlockingIOError at once."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in HAS_NONE:
            raise
        return False
    return True


def _opened(path: Path) -> tuple[IO[bytes], bool]:
    """The file, and whether it was created."""
    while True:
        try:
            return path.open("r+b"), False
        except FileNotFoundError:
            with suppress(FileExistsError):
                return path.open("x+b"), True
            if path.is_symlink():  # a dangling one
                raise


def _is_there(path: Path, file: IO[Any]) -> bool:
    """Whether the path still leads to this file: its former owner may have deleted it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
