"""The imports of synth/ point down: a folder knows those below it, and nothing of those above."""

import ast
from pathlib import Path

import synth

ROOT = Path(synth.__file__).parent

# The highest first. A module or a folder imports what stands in a line below its own, and itself.
LAYERS = """
command draw pilot tune aliases
trials
run show merge export report.__main__
job sweep from_python
generation
preview pipeline
resumption
schedule
report
configuration
demo_model.train
demo_model.grammar
steps
batch
verifiers tools
quality
engines
sources.documents
models
demo_model sources
publishing
chat components storage
messages template strata
tool_calls
errors records exit_codes own_time paths
printable
"""
LEVELS = {name: level for level, names in enumerate(LAYERS.split("\n")) for name in names.split()}
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}


def place(module: str) -> str | None:
    """The longest name among the layers that it is, or is in."""
    found = [name for name in LEVELS if f"{module}.".startswith(f"{name}.")]
    return max(found, key=len, default=None)


def imported(path: Path) -> set[str]:
    """Modules of Synth, those that a function imports too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "synth":
            package = node.module.partition(".")[2]
            named = {f"{package}.{alias.name}".lstrip(".") for alias in node.names}
            found |= {one if one in MODULES or f"{one}.__init__" in MODULES else package for one in named}
        elif isinstance(node, ast.Import):
            found |= {name.name.partition(".")[2] for name in node.names if name.name.startswith("synth.")}
    return found


def test_every_module_has_its_place_among_the_layers():
    assert not [module for module in MODULES if module != "__init__" and place(module) is None]


def test_imports_point_down():
    up = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imported(path)
        if module != "__init__" and place(other) != place(module) and LEVELS[place(other)] <= LEVELS[place(module)]
    ]
    assert not up
