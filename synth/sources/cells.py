"""Converts a cell of an Arrow table to Python, for values that pyarrow can't convert and for JSON.

Promises: no data of a damaged file is used before it is validated, and damage in one row does not affect others.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa


def cell(column: pa.Array, index: int) -> Any:
    """As from `to_pylist()`, but dates and times outside Python's range become strings.

    Raises pyarrow.ArrowException, ValueError or OverflowError.
    """
    kind, one = column.type, column.slice(index, 1)
    one.validate()  # lists, structs and dictionaries only: scalars need no check
    if one.null_count:
        return None
    if isinstance(column, pa.DictionaryArray):
        at = one.indices[0].as_py()
        if not 0 <= at < len(column.dictionary):
            raise ValueError(f"word {at} of {len(column.dictionary)}")
        return cell(column.dictionary, at)
    if isinstance(column, pa.ExtensionArray) and pa.types.is_nested(kind.storage_type):
        return cell(column.storage, index)
    if pa.types.is_struct(kind):
        return {field.name: cell(one.field(place), 0) for place, field in enumerate(kind)}
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        values = [cell(one[0].values, place) for place in range(len(one[0].values))]
        return [tuple(pair.values()) for pair in values] if pa.types.is_map(kind) else values
    one.validate(full=True)
    try:
        return one[0].as_py()
    except (OverflowError, pa.ArrowInvalid):
        if pa.types.is_temporal(kind):
            return _text(one[0])
        raise


def _text(scalar: pa.Scalar) -> str:
    """ISO 8601 for any year; in UTC if a time zone was given."""
    kind, value = scalar.type, scalar.value
    if pa.types.is_date(kind):
        return str(np.datetime64(value if pa.types.is_date32(kind) else value // 86_400_000, "D"))
    if pa.types.is_duration(kind):
        return str(np.timedelta64(value, kind.unit))
    zone = "+00:00" if pa.types.is_timestamp(kind) and kind.tz else ""
    return f"{np.datetime64(value, kind.unit)}{zone}"


def decoder(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """A decoder for types that contain JSON, stored as text in Arrow; None for other types."""
    if isinstance(kind, pa.JsonType):
        return lambda text: None if text is None else json.loads(text)
    if isinstance(kind, pa.BaseExtensionType):
        return decoder(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return decoder(kind.value_type)
    if pa.types.is_struct(kind):
        fields = {field.name: found for field in kind if (found := decoder(field.type))}
        if not fields:
            return None
        return lambda row: row and row | {name: found(row[name]) for name, found in fields.items()}
    if pa.types.is_map(kind):
        key, item = (decoder(one) or _same for one in (kind.key_type, kind.item_type))
        return None if key is item is _same else lambda pairs: pairs and [(key(one), item(two)) for one, two in pairs]
    if pa.types.is_nested(kind) and kind.num_fields == 1:  # all list types
        inner = decoder(kind.field(0).type)
        return inner and (lambda values: values and [inner(value) for value in values])
    return None


def _same(value: Any) -> Any:
    return value
