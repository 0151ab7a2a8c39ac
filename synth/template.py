"""A user's template, of a prompt or a grid's column, over a record's columns.

The template runs in a sandbox; text in a column is never run as a template. Promises: an invalid template is refused,
with its line, when the configuration is read; one that a record does not fit ends in a Rejection, `missing_column` or
`template_failed`.

Knows nothing of steps, or of the use of the text.
"""

from functools import cache
from typing import Annotated, Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2 import Template as Compiled
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator

from synth.records import Record, Rejection


def _printed(value: Any) -> Any:
    if value is None:
        raise Rejection("missing_column", "a column that the template prints is null")
    return value


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, finalize=_printed, trim_blocks=True, lstrip_blocks=True, autoescape=False
)
_compiled = cache(_ENVIRONMENT.from_string)


def _readable(template: str) -> str:
    try:
        tree = _ENVIRONMENT.parse(template)
        if loads := next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None):
            raise ValueError(f"line {loads.lineno}: a template can't load others")
        _compiled(template)  # raises for unknown filters
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from None
    return template


Template = Annotated[str, AfterValidator(_readable)]


def fill(template: str, record: Record) -> str:
    """The rendered text, stripped. Raises Rejection if the record does not fit."""
    compiled: Compiled = _compiled(template)
    try:
        return compiled.render(record).strip()
    except UndefinedError as error:
        there = ", ".join(record) or "none"
        raise Rejection("missing_column", f"{error.message}; available: {there}") from None
    except (SecurityError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise Rejection("template_failed", f"{type(error).__name__}: {error}") from None


def unfilled(*texts: str | None) -> tuple[str, ...]:
    """The reasons for which `fill` rejects a record; none where no text is a template."""
    return ("missing_column", "template_failed") if any(text and _is_template(text) for text in texts) else ()


def filled(text: str, record: Record) -> str:
    """The same for a text that may not be a template, which is then returned unchanged."""
    return fill(text, record) if _is_template(text) else text


def _is_template(text: str) -> bool:
    return any(mark in text for mark in ("{{", "{%", "{#"))


def needed(template: str) -> set[str]:
    """Names that a template always needs: without `is defined` or a default."""
    tree = _ENVIRONMENT.parse(template)
    asked = [
        one.node
        for one in tree.find_all((nodes.Test, nodes.Filter))
        if one.name in ("defined", "undefined", "default", "d")
    ]
    optional = {node.name for node in asked if isinstance(node, nodes.Name)}
    return meta.find_undeclared_variables(tree) - optional - set(_ENVIRONMENT.globals)
