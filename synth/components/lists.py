"""A key that takes several values, and one of them without brackets."""

from typing import Any


def as_list(given: Any) -> Any:
    """A list or a tuple as it is, anything else as a list of it."""
    return given if isinstance(given, list | tuple) else [given]
