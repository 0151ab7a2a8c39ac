"""Locates the class or function of a `_target_`, and imports only allowed modules.

A strategy file may come from anywhere, and importing a module executes it. So allowed modules are Synth's own, the
user's own files, and plug-ins: installed packages that require Synth. Python's standard library and all other packages
are refused without importing them. An object that a module has imported (`my_steps.Popen`) counts as one of the module
that defines it.
"""

import difflib
import functools
import importlib
import pkgutil
import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synth.errors import ConfigError, nearest

_INSTALLED = ("site-packages", "dist-packages")
_REQUIRES_SYNTH = re.compile(r"synth(?![\w.-])", re.IGNORECASE)


def locate(dotted: str, key: str) -> Any:
    """Raises ConfigError, with `key`, for a name that may not or can't be imported, or does not exist."""
    module_name, _, name = dotted.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in dotted.split(".")):
        raise ConfigError(
            f"{key}: {dotted!r} is not a dotted name such as my_steps.{name if name.isidentifier() else 'step'}"
        )
    if any(part.startswith("__") for part in dotted.split(".")):
        raise ConfigError(f"{key}: {dotted!r} cannot name a class or function")
    _refuse_foreign(module_name, dotted, key)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # importing runs a user's module
        hint = _nearest_module(error.name or "") if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigError(f"{key}: {dotted!r} can't be imported ({_reason(error)}){hint}") from None
    found = getattr(module, name, None)
    if not callable(found):
        public = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise ConfigError(f"{key}: {module_name!r} has no class or function {name!r}{nearest(name, public)}")
    _refuse_foreign(module_of(found), dotted, key)
    return found


def module_of(found: Any) -> str:
    """The module that defines a class or function."""
    while isinstance(found, functools.partial):
        found = found.func
    return getattr(found, "__module__", None) or "builtins"


def is_own(module_name: str) -> bool:
    """Whether a module is Synth's."""
    return module_name.partition(".")[0] == "synth"


def is_foreign(module_name: str) -> str | None:
    """Whose a module is that is neither Synth's, nor the user's, nor a plug-in's, else None. Imports nothing."""
    top = module_name.partition(".")[0]
    if is_own(module_name):
        return None
    places = list(_places(top))
    if top in sys.stdlib_module_names or top == "__main__":
        return "is part of Python"
    if any(map(_is_installed, places)):
        return None if top in plug_ins() else "belongs to an installed package that does not require synth"
    return "is part of Python" if any(map(_is_pythons, places)) else None


def _refuse_foreign(module_name: str, dotted: str, key: str) -> None:
    if whose := is_foreign(module_name):
        allowed = "use a class of Synth, of your own files or of a plug-in of Synth"
        raise ConfigError(f"{key}: {dotted!r} is refused, since {module_name} {whose}; {allowed}")


def _places(top: str) -> Iterator[Path]:
    """The location of a top-level module or package, found without running it."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # a module created in this process
        return
    for place in (spec.origin, *(spec.submodule_search_locations or ())) if spec else ():
        if place:
            yield Path(place)


def _is_installed(place: Path) -> bool:
    paths = (sysconfig.get_path(name) for name in ("purelib", "platlib"))
    return any(name in place.parts for name in _INSTALLED) or any(place.is_relative_to(path) for path in paths)


def _is_pythons(place: Path) -> bool:
    return place.is_relative_to(sysconfig.get_path("stdlib")) or str(place) in ("built-in", "frozen")


@functools.cache
def plug_ins() -> frozenset[str]:
    """The modules and packages of all distributions that require Synth."""
    found: set[str] = set()
    for distribution in metadata.distributions():
        if any(map(_REQUIRES_SYNTH.match, distribution.requires or ())):
            named = (distribution.read_text("top_level.txt") or "").split()
            found.update(named or (file.parts[0].removesuffix(".py") for file in distribution.files or ()))
    return frozenset(found)


def _reason(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _nearest_module(missing: str) -> str:
    parent, _, name = missing.rpartition(".")
    try:
        path = importlib.import_module(parent).__path__ if parent else None
    except (ImportError, AttributeError):
        return ""
    close = difflib.get_close_matches(name, [module.name for module in pkgutil.iter_modules(path)], n=1, cutoff=0.75)
    return f"; did you mean {f'{parent}.{close[0]}' if parent else close[0]!r}?" if close else ""
