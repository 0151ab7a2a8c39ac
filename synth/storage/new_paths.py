"""Files and folders that a command creates before it is accepted, and removes if it is refused.

Promises: nothing that existed before is ever removed. A folder is removed if it is empty and was created by this
process; a file if its name was free before.
"""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class NewPaths:
    """A context manager; at its end the paths are removed unless `keep` was called."""

    def __init__(self) -> None:
        self.kept = False
        self._made: list[Path] = []

    def __enter__(self) -> "NewPaths":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.kept:
            return
        for path in reversed(self._made):
            with suppress(OSError):  # others have put something there
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def keep(self) -> None:
        """Keep them: the command was accepted."""
        self.kept = True

    def folder(self, path: Path) -> Path:
        """Create a folder and its missing parents. Raises OSError."""
        missing = []
        while not os.path.isdir(path) and path != path.parent:
            missing.append(path)
            path = path.parent
        for one in reversed(missing):
            try:
                one.mkdir()
            except FileExistsError:
                if not one.is_dir():
                    raise
            else:
                self._made.append(one.absolute())
        return missing[0] if missing else path

    def file(self, path: Path) -> Path:
        """Register a file that is about to be created, or replaced by the command's own new one."""
        if not os.path.lexists(path):
            self._made.append(path.absolute())
        return path
