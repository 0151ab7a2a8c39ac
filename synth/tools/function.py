"""A Python function as a tool: its specification from signature and docstring, and execution of its calls.

Promises: a call has a timeout and its result a maximum length; any exception of a function becomes a ToolError.
"""

import asyncio
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter

from synth.components.targets import locate
from synth.errors import ConfigError
from synth.tools.specification import Tool

LONGEST = 20_000  # characters of a result


class ToolError(Exception):
    """A call without a usable result. The message is one line."""


def located_function(node: Any, key: str) -> Callable[..., Any]:
    """The function that a node's `_target_` names, or the function itself. Raises ConfigError."""
    if callable(node):
        return node  # type: ignore[no-any-return]
    dotted = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(dotted, str):
        raise ConfigError(f"{key}: needs a _target_, the dotted name of a function, got {node!r}")
    if more := next((name for name in node if name != "_target_"), None):
        raise ConfigError(f"{key}.{more}: no such key; arguments are passed by the calls of a tool")
    found: Callable[..., Any] = locate(dotted, f"{key}._target_")
    return found


def described(
    function: Callable[..., Any], example: tuple[str, dict[str, Any]] | None = None, name: str | None = None
) -> Tool:
    """The tool of a function. Raises ValueError if its signature has no JSON Schema."""
    name = name or str(getattr(function, "__name__", type(function).__name__))
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type]
        schema = adapter.json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        raise ValueError(f"{name}: its arguments have no JSON Schema: {str(error).splitlines()[0]}") from None
    if schema.get("type") != "object":
        raise ValueError(f"{name}: takes positional-only arguments, but a call names its arguments")
    text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
    return Tool(name, text, _without_titles(schema), example=example)


async def result_of(function: Callable[..., Any], arguments: Mapping[str, Any], timeout_s: float) -> Any:
    """The result of a call, as JSON. Raises ToolError."""
    try:
        value = await asyncio.wait_for(_called(function, dict(arguments)), timeout_s)
    except TimeoutError:
        raise ToolError(f"it took more than {timeout_s:g} s") from None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"its result is not JSON: {error}") from None
    if len(text) > LONGEST:
        raise ToolError(f"its result has {len(text):,} characters, more than {LONGEST:,}")
    return json.loads(text)


async def _called(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Exceptions are caught where the function runs, since a future can't hold StopIteration."""

    def run() -> Any:
        try:
            return function(**arguments)
        except BaseException as error:
            return _Raised(error)

    value = await asyncio.to_thread(run)
    if inspect.isawaitable(value):
        try:
            value = await value
        except Exception as error:
            value = _Raised(error)
    if isinstance(value, _Raised):
        message = " ".join(str(value.error).split())
        raise ToolError(message if isinstance(value.error, ValueError) else f"{type(value.error).__name__}: {message}")
    return value


class _Raised:
    def __init__(self, error: BaseException):
        self.error = error


def _without_titles(schema: Any) -> Any:
    """Removes pydantic's titles, which repeat the arguments' names."""
    if isinstance(schema, Mapping):
        kept = {key: one for key, one in schema.items() if key != "title" or not isinstance(one, str)}
        return {key: _without_titles(one) for key, one in kept.items()}
    return [_without_titles(one) for one in schema] if isinstance(schema, list) else schema


def rounded(value: float) -> float:
    """Nine significant digits, and no `.0`."""
    if not math.isfinite(value):
        raise ValueError("the result is too large")
    return float(f"{value:.9g}")
