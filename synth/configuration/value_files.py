"""`@prompt.txt` as the value of a step's key: the text of that file, for texts too long for a command line.

The configuration then contains the text itself, so that a changed file is a changed run. `@@` begins a text with an @.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth.errors import ConfigError

_MOST = 10_000_000  # bytes


def with_files(value: Any, key: str) -> Any:
    """The value with `@FILE` replaced by the files' texts, at any depth. Raises ConfigError."""
    if isinstance(value, Mapping):
        return {name: with_files(one, f"{key}.{name}") for name, one in value.items()}
    if isinstance(value, list):
        return [with_files(one, f"{key}[{at}]") for at, one in enumerate(value)]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    return value[1:] if value.startswith("@@") else _read(Path(value[1:]).expanduser(), key)


def _read(path: Path, key: str) -> str:
    try:
        if path.stat().st_size > _MOST:
            raise ConfigError(f"{key}: the file {str(path)!r} is too large for a text, above {_MOST:,} bytes")
        return path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        hint = "; write @@ for a text that begins with @"
        raise ConfigError(f"{key}: the file {str(path)!r} can't be read: {why}{hint}") from None
