"""The user's source code behind a configuration: the modules of its `_target_`s outside Synth, by content.

A file is named by its module, `my_pkg/steps.py`, so that its folder does not matter. Included are the modules of the
targets and the user's modules that they import, found by parsing the source without running it. Not included are
imports of computed names, and data files that a module reads.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synth.components.targets import is_foreign, is_own, locate, module_of


def source_code(node: Any) -> dict[str, str]:
    """`{"code of my_steps.py": checksum}` for a configuration that has been instantiated."""
    waiting = sorted({module for target in _targets(node) for module in _modules(target) if not is_own(module)})
    plug_ins = {module.partition(".")[0] for module in waiting}
    found: dict[str, str] = {}
    seen = set(waiting)
    while waiting:
        module = waiting.pop()
        path = _file(module)
        if path is None:
            continue
        try:
            data = path.read_bytes()
        except OSError:  # it was deleted after the import
            continue
        text = data.replace(b"\r\n", b"\n")  # independent of the checkout's line ends
        found[f"code of {_name(module, path)}"] = hashlib.blake2b(text, digest_size=8).hexdigest()
        for one in _imports(text, module, path):
            if one not in seen and not is_own(one) and (one.partition(".")[0] in plug_ins or not is_foreign(one)):
                seen.add(one)
                waiting.append(one)
    return dict(sorted(found.items()))


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _modules(dotted: str) -> Iterator[str]:
    """The named module, and the one that defines the object; none if it was never instantiated."""
    if dotted.rpartition(".")[0] in sys.modules:
        yield dotted.rpartition(".")[0]
        yield module_of(locate(dotted, "_target_"))


def _file(module: str) -> Path | None:
    """Found without running anything; None if there is no file, as for a package without __init__.py."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    for place in spec.submodule_search_locations or ():
        path = Path(place, *rest)
        for one in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if one.is_file():
                return one
    return None


def _name(module: str, path: Path) -> str:
    inside = "/__init__" if path.stem == "__init__" else ""
    return f"{module.replace('.', '/')}{inside}{path.suffix}"


def _imports(text: bytes, module: str, path: Path) -> Iterator[str]:
    """All modules that it may import: for `from a import b`, `a` and `a.b`."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a compiled module, or no Python
        return
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            names = [base, *(f"{base}.{name.name}" for name in node.names)] if base else []
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
