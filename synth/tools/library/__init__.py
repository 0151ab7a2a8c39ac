"""Shipped tools: pure, deterministic functions without network access or side effects.

Each is a function in a module of this folder, listed in the module's TOOLS with an example: a request and the call that
it needs. `tests/tools/test_library.py` runs every example.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from synth.tools.function import described
from synth.tools.library import arithmetic, colours, dates, places, text, units
from synth.tools.specification import Tool

Example = tuple[str, dict[str, Any]]

_MODULES = (arithmetic, dates, units, text, colours, places)


@cache
def shipped() -> Mapping[str, tuple[Tool, Callable[..., Any]]]:
    """The tools by name, each with its function."""
    found: dict[str, tuple[Tool, Callable[..., Any]]] = {}
    for module in _MODULES:
        for function, example in module.TOOLS.items():
            found[function.__name__] = described(function, example), function
    return found
