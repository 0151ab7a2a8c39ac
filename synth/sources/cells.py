"""One cell of a table as Python has it: where pyarrow can't say a value, and where it is JSON.

Promises: nothing that a damaged file holds is touched before it was found valid, and another row's damage is no
matter.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa


def cell(column: pa.Array, index: int) -> Any:
    """As `to_pylist()` gives it, but for dates and times that Python has none for, which are texts.

    Raises pyarrow.ArrowException, ValueError or OverflowError.
    """
    kind, one = column.type, column.slice(index, 1)
    one.validate()  # of what is in a list, a struct or a dictionary, which are valid in full or not at all, no more
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
    """As ISO 8601 has it, whatever the year; where a time zone was given, the time in UTC."""
    kind, value = scalar.type, scalar.value
    if pa.types.is_date(kind):
        return str(np.datetime64(value if pa.types.is_date32(kind) else value // 86_400_000, "D"))
    if pa.types.is_duration(kind):
        return str(np.timedelta64(value, kind.unit))
    zone = "+00:00" if pa.types.is_timestamp(kind) and kind.tz else ""
    return f"{np.datetime64(value, kind.unit)}{zone}"


def decoder(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """A function for Python's values of a type that has JSON in it, which is text in Arrow; None for the others."""
    if isinstance(kind, pa.JsonType):
        return lambda text: None if text is None else json.loads(text)
    if isinstance(kind, pa.BaseExtensionType):
        return decoder(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return decoder(kind.value_type)
    if pa.types.is_struct(kind):
        fields = {one.name: found for one in kind if (found := decoder(one.type))}
        if not fields:
            return None
        return lambda row: row and row | {name: found(row[name]) for name, found in fields.items()}
    if pa.types.is_map(kind):
        key, item = (decoder(one) or _same for one in (kind.key_type, kind.item_type))
        return None if key is item is _same else lambda pairs: pairs and [(key(one), item(two)) for one, two in pairs]
    if pa.types.is_nested(kind) and kind.num_fields == 1:  # lists of all sorts
        inner = decoder(kind.field(0).type)
        return inner and (lambda values: values and [inner(one) for one in values])
    return None


def _same(value: Any) -> Any:
    return value
