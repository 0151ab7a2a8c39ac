"""Seed tasks: people's own instructions, in the format that Self-Instruct (arXiv 2212.10560) was published with.

A JSON object a line: {"id", "name", "instruction", "instances": [{"input", "output"}], "is_classification"}.
seed_tasks.jsonl, beside this file, are those shipped with Synth.
"""

import json
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("seed_tasks.jsonl")


def read_seeds(path: Path) -> list[str]:
    """The instructions of a file of seed tasks, each on one line. Raises ValueError, which names file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read ({getattr(error, 'strerror', None) or error})") from None
    seeds = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                seeds.append(_seed(json.loads(line)))
            except ValueError as error:
                why = "is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
                raise ValueError(f"{path}:{number}: {why}") from None
    if not seeds:
        raise ValueError(f"{path}: has no tasks in it")
    return seeds


def _seed(task: Any) -> str:
    """Checks all of a task, though its instruction alone is used: a file that is wrong there is not what it seems."""
    instruction = task.get("instruction") if isinstance(task, dict) else None
    if not isinstance(instruction, str) or not instruction.strip():
        raise ValueError('has no "instruction", a text')
    instances = task.get("instances", [])
    if not isinstance(instances, list) or not all(map(_is_instance, instances)):
        raise ValueError('"instances" must be a list of {"input", "output"}, both texts')
    if not isinstance(task.get("is_classification", False), bool):
        raise ValueError('"is_classification" must be true or false')
    return " ".join(instruction.split())


def _is_instance(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("input", "output"))
