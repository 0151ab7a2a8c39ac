"""Locks on files, which the system drops with the process that has them, however it ends.

Promises: who has the lock of a file has that of the one under this name, though another process may take such files
away. File systems without locks are told apart from locks that somebody has.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from synth.storage.new_paths import NewPaths

HAS_NONE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # what a file system says of what it lacks


@contextmanager
def locked_file(
    path: Path, *, shared: bool = False, new: NewPaths | None = None, wait: Callable[[], None] | None = None
) -> Iterator[tuple[IO[bytes], bool]]:
    """A file that is this process's until the end of the context, or its and others' that share it; and False where
    the file system has no locks. Made where there is none.

    `wait` is called before the lock of somebody else is waited for; without it, that raises BlockingIOError, which has
    what is in the file. The file is gone again if it was made here and its `new` paths are not kept.
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
                    # Of those who share it, the last one takes it away.
                    with suppress(OSError):
                        take_lock(file, fcntl.LOCK_EX)
                        path.unlink()
            return


def take_lock(file: IO[Any], how: int) -> bool:
    """A lock that ends with the process; False where the file system has none. Raises BlockingIOError, at once."""
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
    """The file, and whether it is new."""
    while True:
        try:
            return path.open("r+b"), False
        except FileNotFoundError:
            with suppress(FileExistsError):
                return path.open("x+b"), True
            if path.is_symlink():  # to what is not there
                raise


def _is_there(path: Path, file: IO[Any]) -> bool:
    """Whether the name is still this file's: whoever had it before may have taken it away."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
