"""Files by URL, in any store of fsspec: s3://, gs://, https:// and others, if the store's package is installed.

Access is up to the store's own client, which finds credentials in the environment, a profile or the machine's role. A
URL is written into the run's folder, so it must not contain any.
"""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import fsspec  # type: ignore[import-untyped]

from synth.errors import ConfigError, reason

BLOCK = 1 << 20

# Names for a version or modification time in the stores' metadata; the first one found is used.
_VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")


class Remote:
    """A file or folder in a store, with a Path's methods for reading."""

    def __init__(self, system: Any, path: str):
        self._system, self._path = system, path
        self.name = PurePosixPath(path).name

    def __str__(self) -> str:
        return str(self._system.unstrip_protocol(self._path))

    def is_dir(self) -> bool:
        return bool(self._system.isdir(self._path))

    def iterdir(self) -> "Iterator[Remote]":
        return (Remote(self._system, path) for path in sorted(self._system.ls(self._path, detail=False)))

    def files(self) -> "list[Remote]":
        """All files in a folder, recursively."""
        return [Remote(self._system, path) for path in sorted(self._system.find(self._path))]

    def open(self, mode: str = "rb") -> BinaryIO:
        return io.BufferedReader(self._system.open(self._path, mode), BLOCK)  # files of stores can't read lines

    def stamp(self) -> list[Any]:
        info = self._system.info(self._path)
        version = next((str(info[name]) for name in _VERSIONS if info.get(name)), None)
        return [str(self), info.get("size"), version]


def is_remote(given: str) -> bool:
    return "://" in given


def found(given: str) -> list[Remote]:
    """The files that a URL names or matches, sorted by name. Raises ConfigError."""
    parts = urlsplit(given)
    if "@" in parts.netloc or (parts.scheme.startswith("http") and parts.query):
        # The message must not contain the URL.
        raise ConfigError(
            "source.path: a URL must have no user, password or query, as it is written into the run's folder; "
            "put credentials where the store's client finds them, such as the environment"
        )
    try:
        system, path = fsspec.core.url_to_fs(given)
        paths = sorted(system.glob(path)) if any(mark in path for mark in "*?[") else [path]
        if not paths:
            raise ConfigError(f"source.path: no file matches {given!r}")
        if not system.exists(paths[0]):
            raise ConfigError(f"source.path: there is no file {given!r}")
    except ConfigError:
        raise
    except Exception as error:  # of any store's client
        raise ConfigError(f"source.path: {given} can't be read ({reason(error)})") from None
    return [Remote(system, path) for path in paths]
