"""Seed tasks: human-written instructions, in the format published with Self-Instruct (arXiv 2212.10560).

JSON lines: {"id", "name", "instruction", "instances": [{"input", "output"}], "is_classification"}. A file is read like
a source (docs/sources.md). The shipped tasks are in seed_tasks.jsonl beside this file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from synth.errors import ConfigError
from synth.paths import LocalPath
from synth.records import Record
from synth.sources import Bad
from synth.sources.files import Files, format_of

SHIPPED = Path(__file__).with_name("seed_tasks.jsonl")


@dataclass(frozen=True)
class Seed:
    """A task's instruction, on one line, with its (input, output) pairs. An input may be empty."""

    instruction: str
    instances: tuple[tuple[str, str], ...] = ()
    is_classification: bool = False


def read_seeds(path: Path) -> list[Seed]:
    """The tasks of a file. Raises ValueError with file and line."""
    source = Files(path=[str(path)], format="auto" if format_of(path.name) else "jsonl")
    seeds: list[Seed] = []
    try:
        for file, line, task in source.rows():
            try:
                seeds.append(_seed(task))
            except ValueError as error:
                raise ValueError(f"{file}:{line}: {error}") from None
    except ConfigError as error:  # about a key that is the source's
        raise ValueError(str(error).removeprefix("source.path: ")) from None
    if not seeds:
        raise ValueError(f"{path}: has no tasks in it")
    return seeds


def _seed(task: Record | Bad) -> Seed:
    if isinstance(task, Bad):
        raise ValueError(str(task))
    instruction = task.get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        raise ValueError('has no "instruction", a text')
    instances = task.get("instances", [])
    if not isinstance(instances, list) or not all(map(_is_instance, instances)):
        raise ValueError('"instances" must be a list of {"input", "output"}, both texts or null')
    if not isinstance(task.get("is_classification", False), bool):
        raise ValueError('"is_classification" must be true or false')
    pairs = [((instance.get("input") or "").strip(), (instance.get("output") or "").strip()) for instance in instances]
    return Seed(" ".join(instruction.split()), tuple(pairs), task.get("is_classification", False))


def _is_instance(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str | None) for name in ("input", "output"))


def _readable(path: Path) -> Path:
    read_seeds(path)
    return path


# A step's key: the path of a file of seed tasks, which is read when the step is built; null for the shipped one.
SeedFile = Annotated[
    LocalPath, BeforeValidator(lambda path: SHIPPED if path is None else path), AfterValidator(_readable)
]
