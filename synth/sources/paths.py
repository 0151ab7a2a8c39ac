"""Finds the files for a path, a pattern or a URL, and explains missing ones.

Raises ConfigError with the key source.path for anything inaccessible: a missing file, a dangling link, a folder without
permission.
"""

import difflib
import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from synth.errors import ConfigError, reason
from synth.sources import remote
from synth.sources.remote import Remote


def found(given: str) -> Sequence[Path | Remote]:
    """Sorted by name."""
    if remote.is_remote(given):
        return remote.found(given)
    path = Path(os.path.expanduser(given))
    with readable(given):
        if path.exists():
            return [path]
        if path.is_symlink():
            raise ConfigError(f"source.path: {given!r} is a link to {str(path.readlink())!r}, which is not there")
        if any(mark in given for mark in "*?["):
            return _matches(str(path))
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"; did you mean {str(path.with_name(close[0]))!r}?" if close else ""
    raise ConfigError(f"source.path: there is no file {str(path)!r}{hint}")


def _matches(pattern: str) -> list[Path]:
    if names := sorted(glob.glob(pattern, recursive=True)):
        return [Path(name) for name in names]
    before = pattern[: min(pattern.index(mark) for mark in "*?[" if mark in pattern)]
    with suppress(FileNotFoundError, NotADirectoryError):
        os.scandir(os.path.dirname(before) or ".").close()  # glob ignores folders without permission
    raise ConfigError(f"source.path: no file matches {pattern!r}")


@contextmanager
def readable(path: Any) -> Iterator[None]:
    """Turns errors of a file system or store into a ConfigError about the path."""
    try:
        yield
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"source.path: {path} can't be read ({error.strerror or reason(error)})") from None
    except Exception as error:  # of any store's client
        raise ConfigError(f"source.path: {path} can't be read ({reason(error)})") from None


def stamp(path: Path | Remote, is_folder: bool) -> list[list[Any]]:
    """Path, size and modification time of a file, or of all files in a folder, or the store's equivalent."""
    with readable(path):
        return [_stamp(one) for one in (_inside(path) if is_folder else [path])]


def _inside(folder: Path | Remote) -> Sequence[Path | Remote]:
    if isinstance(folder, Remote):
        return folder.files()
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _stamp(path: Path | Remote) -> list[Any]:
    if isinstance(path, Remote):
        return path.stamp()
    return [str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns]
