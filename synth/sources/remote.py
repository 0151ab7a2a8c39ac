"""Files by URL, in any store that fsspec knows: s3://, gs://, https:// and others, once the store's package is there.

Who may read them is between the store and its own client, which finds credentials where it always does: in the
environment, a profile, the machine's role. A URL is written into the run's folder as it is, so it may hold none.
"""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import fsspec  # type: ignore[import-untyped]

from synth.errors import ConfigError, reason

BLOCK = 1 << 20

# What stores call a name for a file's content, or else the time of its last change; the first that there is.
_VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")


class Remote:
    """A file in a store, or a folder, as far as reading goes like a Path."""

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
        """All that are in a folder, at any depth."""
        return [Remote(self._system, path) for path in sorted(self._system.find(self._path))]

    def open(self, mode: str = "rb") -> BinaryIO:
        return io.BufferedReader(self._system.open(self._path, mode), BLOCK)  # stores' own files can't read lines

    def stamp(self) -> list[Any]:
        told = self._system.info(self._path)
        version = next((str(told[name]) for name in _VERSIONS if told.get(name)), None)
        return [str(self), told.get("size"), version]


def is_remote(given: str) -> bool:
    return "://" in given


def found(given: str) -> list[Remote]:
    """The files that a URL names, or matches, in the order of their names. Raises ConfigError."""
    parts = urlsplit(given)
    if "@" in parts.netloc or (parts.scheme.startswith("http") and parts.query):
        # No message shows it.
        raise ConfigError(
            "source.path: a URL must hold no user, password or query, as it is written into the run's folder; "
            "the store's own client finds credentials in the environment"
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
    except Exception as error:  # of a store's client, of any kind
        raise ConfigError(f"source.path: {given} can't be read ({reason(error)})") from None
    return [Remote(system, path) for path in paths]
