"""Paths that a user types, wherever: in a key, in a YAML, in Python, as an argument of a command.

`~` is the home directory, though no shell has seen it. `a/../b` is what it leads to, whether there is an `a` or not, so
that no folder is made on the way to another one. A folder that is really called `~x` is `./~x`.
"""

import argparse
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator


def expanded(text: str) -> str:
    """The text with `~` and `~user` replaced. Raises ValueError where there is no such home directory."""
    if "\0" in text:
        raise ValueError("must hold no NUL character")
    home = os.path.expanduser(text)
    if text.startswith("~") and home == text:
        user = text.partition("/")[0]
        raise ValueError(f"there is no home directory {user}; a folder of that name is ./{user}")
    return home


def local_path(given: str | Path) -> Path:
    """The path that is meant. Raises ValueError."""
    if not str(given):
        raise ValueError("names no folder or file; . is the working directory")
    path = Path(expanded(str(given)))
    named = next((place for place, part in enumerate(path.parts) if part != ".."), len(path.parts))
    path = Path(os.path.realpath(path)) if ".." in path.parts[named:] else path
    return path.absolute() if path.parts[:1] and path.parts[0].startswith("~") else path  # ./~x, which is told again


def argument(text: str) -> Path:
    """A path on the command line of a program that argparse reads."""
    try:
        return local_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def argument_or_url(text: str) -> str:
    """The like, of a program that takes the URL of a store too."""
    return text if "://" in text else str(argument(text))


def _before(given: Any) -> Any:
    return local_path(given) if isinstance(given, str | Path) else given


LocalPath = Annotated[Path, BeforeValidator(_before)]
ModelPath = Annotated[str, BeforeValidator(lambda given: expanded(given) if isinstance(given, str) else given)]
