"""Partial overrides of defaults that are objects: keys that are not given keep the default's values.

`sampling: {max_tokens: 256}` for a parameter with default Sampling(temperature=0.0) stays greedy. This holds for every
parameter whose default is an object with keys, or a list of one, also of a user's class or function.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any


def completed(target: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values for a call of `target`, with mappings completed by the keys of the defaults that they override."""
    return {name: _on_top_of(default_of(target, name), value) for name, value in values.items()}


def _on_top_of(default: Any, value: Any) -> Any:
    if isinstance(default, list) and len(default) == 1:
        if isinstance(value, list):
            return [_on_top_of(default[0], item) for item in value]
        return _on_top_of(default[0], value)
    if not is_dataclass(default) or not isinstance(value, Mapping) or "_target_" in value:
        return value
    own = {field.name: getattr(default, field.name) for field in fields(default) if field.init}
    return own | {name: _on_top_of(own.get(name), one) for name, one in value.items()}


def default_of(target: Callable[..., Any], name: str) -> Any:
    """The default of a parameter."""
    if is_dataclass(target):
        field: Field[Any] | None = next((field for field in fields(target) if field.name == name), None)
        if field is None:
            return None
        return field.default_factory() if field.default_factory is not MISSING else field.default
    try:
        parameter = inspect.signature(target).parameters.get(name)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return None
    return parameter.default if parameter else None
