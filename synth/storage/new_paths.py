"""What a command makes in the file system before it is sure to go on, and takes away again where it is refused.

Promises: nothing that was there before is ever taken away, by whatever name it goes. A folder goes when it is empty,
and only if this process made it; a file by its name, if there was none before.
"""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class NewPaths:
    """A context, at whose end they are gone unless `keep` was called."""

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
            with suppress(OSError):  # what others have put there stays
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def keep(self) -> None:
        """From here on they are what the command has done."""
        self.kept = True

    def folder(self, path: Path) -> Path:
        """Make a folder and those above it, where they are not there yet. Raises OSError."""
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
        """A file that is about to be made, or to be replaced by the command's own new one."""
        if not os.path.lexists(path):
            self._made.append(path.absolute())
        return path
