"""Prompts that steps send to a model, one Jinja file each.

Promises: `render` returns the same text for the same variables; a missing variable is an error; text in a variable is
never run as a template. The labels that a prompt offers and a parser accepts are defined once, here.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

LABELS: dict[str, tuple[str, ...]] = {
    "category": (
        "information",
        "reasoning",
        "math",
        "code",
        "writing",
        "editing",
        "translation",
        "planning",
        "advice",
        "brainstorming",
        "other",
    ),
    "quality": ("very poor", "poor", "average", "good", "excellent"),
    "difficulty": ("very easy", "easy", "medium", "hard", "very hard"),
    "language": ("en", "de", "es", "fr", "zh", "other"),
}


def render(name: str, /, **variables: Any) -> str:
    """The prompt in `<name>.jinja`, rendered and stripped.

    Raises jinja2.UndefinedError for a missing variable.
    """
    return _environment().get_template(f"{name}.jinja").render(variables).strip()


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # prompts are plain text, not HTML
    )
