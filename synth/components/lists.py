"""For a key that takes several values, or a single one without brackets."""

from typing import Any


def as_list(given: Any) -> Any:
    """A list or tuple unchanged, anything else as a list of one."""
    return given if isinstance(given, list | tuple) else [given]
