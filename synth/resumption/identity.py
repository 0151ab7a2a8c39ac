"""The identity of a configuration, independent of paths: a file that it names counts by its name and content.

So do a model's folder and the files that a pattern matches. A text that names no file stands for itself.
"""

import glob
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth.errors import ConfigError

_NO_FILES = ("_target_", "name")  # keys
LARGE = 256 << 20  # bytes


def by_content(node: Any) -> Any:
    """The same data with paths of files replaced by name and checksum. Raises ConfigError."""
    if isinstance(node, Mapping):
        return {key: value if key in _NO_FILES else by_content(value) for key, value in node.items()}
    if isinstance(node, list):
        return [by_content(value) for value in node]
    return _named_file(node) if isinstance(node, str) else node


def _named_file(text: str) -> str:
    """`prompt.jinja (checksum)` for the path of a file, similarly for a model's folder or a pattern; else the text."""
    path = Path(os.path.expanduser(text))
    if "\n" in text or not ("/" in text or path.suffix):
        return text
    if os.path.isfile(path):
        files, name = [path], path.name
    elif os.path.isfile(path / "config.json"):
        files, name = [entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")], text
    else:
        files, name = [one for one in map(Path, glob.glob(str(path))) if one.is_file()], text
    if not files:
        return text
    digest = hashlib.blake2b(digest_size=8)
    try:
        for file in sorted(files):
            digest.update(f"{file.name} {_content(file)}".encode(errors="surrogateescape"))
    except OSError as error:
        raise ConfigError(f"{error.filename} can't be read ({error.strerror})") from None
    return f"{name} ({digest.hexdigest()})"


def _content(path: Path) -> str:
    """A checksum of a file; of a very large one, of its size, beginning and end."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= LARGE:
            return hashlib.file_digest(file, hashlib.blake2b).hexdigest()
        ends = file.read(1 << 20)
        file.seek(-1 << 20, os.SEEK_END)
        return hashlib.blake2b(b"%d " % size + ends + file.read()).hexdigest()
