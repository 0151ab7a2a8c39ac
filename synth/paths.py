"""Paths typed by a user: in a key, a YAML file, Python, or a command's argument.

`~` is the home directory, also where no shell expands it. `a/../b` is normalized without creating `a`. A folder that is
really named `~x` is `./~x`.
"""

import argparse
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator


def expanded(text: str) -> str:
    """The text with `~` and `~user` expanded. Raises ValueError if there is no such home directory."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    home = os.path.expanduser(text)
    if text.startswith("~") and home == text:
        user = text.partition("/")[0]
        raise ValueError(f"there is no home directory {user}; write ./{user} for a folder of that name")
    return home


def local_path(given: str | Path) -> Path:
    """The path. Raises ValueError."""
    if not str(given):
        raise ValueError("is empty; write . for the working directory")
    path = Path(expanded(str(given)))
    named = next((place for place, part in enumerate(path.parts) if part != ".."), len(path.parts))
    path = Path(os.path.realpath(path)) if ".." in path.parts[named:] else path
    return path.absolute() if path.parts[:1] and path.parts[0].startswith("~") else path  # ./~x stays unexpanded


def argument(text: str) -> Path:
    """A path argument for argparse."""
    try:
        return local_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def argument_or_url(text: str) -> str:
    """The same, for programs that also take URLs."""
    return text if "://" in text else str(argument(text))


def _before(given: Any) -> Any:
    return local_path(given) if isinstance(given, str | Path) else given


LocalPath = Annotated[Path, BeforeValidator(_before)]
ModelPath = Annotated[str, BeforeValidator(lambda given: expanded(given) if isinstance(given, str) else given)]
