"""Keys of an object that is itself a default: those that are not named keep what the default has.

`sampling: {max_tokens: 256}` for a parameter whose default is Sampling(temperature=0.0) is greedy still. It holds for
every parameter whose default is an object of keys, or a list of one, whoever wrote the class or function.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any


def completed(target: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values for a call of `target`, its mappings completed with the keys of the default that they change."""
    return {name: _on_top_of(default_of(target, name), value) for name, value in values.items()}


def _on_top_of(default: Any, value: Any) -> Any:
    if isinstance(default, list) and len(default) == 1:
        if isinstance(value, list):
            return [_on_top_of(default[0], one) for one in value]
        return _on_top_of(default[0], value)
    if not is_dataclass(default) or not isinstance(value, Mapping) or "_target_" in value:
        return value
    own = {field.name: getattr(default, field.name) for field in fields(default) if field.init}
    return own | {name: _on_top_of(own.get(name), one) for name, one in value.items()}


def default_of(target: Callable[..., Any], name: str) -> Any:
    """What a parameter is that is not given."""
    if is_dataclass(target):
        field: Field[Any] | None = next((one for one in fields(target) if one.name == name), None)
        if field is None:
            return None
        return field.default_factory() if field.default_factory is not MISSING else field.default
    try:
        parameter = inspect.signature(target).parameters.get(name)
    except (TypeError, ValueError):  # some built-in functions have none
        return None
    return parameter.default if parameter else None
