"""Small JSON files with a checksum: reading returns exactly what was written, or raises Damaged.

The checksum is the last key, and covers every byte before it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synth.storage.run_folder import atomic_write

_SEALED = re.compile(rb'(.*),\n  "checksum": "([0-9a-f]{32})"\n}\n', re.DOTALL)


class Damaged(ValueError):
    """A file that has changed since it was written. The message names it."""


def write_sealed(path: Path, content: Mapping[str, Any], *, lines: tuple[str, Iterable[str]] | None = None) -> None:
    """Atomically write `content` with its checksum, followed by the list `lines` under its key: one line per item,
    which is JSON already. Raises OSError."""
    parts = [f"  {_text(key)}: {_indented(value)}" for key, value in content.items()]
    if lines is not None:
        key, items = lines
        parts.append(f"  {_text(key)}: [\n    " + ",\n    ".join(items) + "\n  ]")
    body = ("{\n" + ",\n".join(parts)).encode("utf-8", "surrogatepass")
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(body + f',\n  "checksum": "{_checksum(body)}"\n}}\n'.encode())


def read_sealed(path: Path) -> dict[str, Any]:
    """The content. Raises FileNotFoundError, another OSError, or Damaged."""
    sealed = _SEALED.fullmatch(path.read_bytes())
    if sealed is None or _checksum(sealed[1]) != sealed[2].decode():
        raise Damaged(f"{path}: is damaged, its checksum does not match")
    content: dict[str, Any] = json.loads((sealed[1] + b"\n}").decode("utf-8", "surrogatepass"))
    return content


def _checksum(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _indented(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\n  ")
