"""Messages between a program and its tests: plain data as JSON, with its length before it.

Promises: a value arrives with its type, such as a tuple, a set or bytes. An object that is not plain data is sent as a
number, and stays where it is. What the other side sends is only read as data; a message that is too large is refused.
"""

from __future__ import annotations

import builtins
import json
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST_BYTES = 8 * 2**20  # of a message
_PLAIN = (str, int, float, bool, type(None))
_BY_TEXT: dict[tuple[str, str], Callable[[Any], Callable[[str], Any]]] = {
    ("decimal", "Decimal"): lambda kind: kind,
    ("fractions", "Fraction"): lambda kind: kind,
    ("datetime", "date"): lambda kind: kind.fromisoformat,
    ("datetime", "datetime"): lambda kind: kind.fromisoformat,
}
EXCEPTIONS = {
    name: kind for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)
}


class Wire:
    """One end of the socket. `asked`: the tests have called the program. `ended`: the other side has ended."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self.asked = False
        self.ended = False

    def send(self, message: dict[str, Any]) -> None:
        """Raises ValueError if the message is too large, OSError if the other side has ended."""
        data = json.dumps(message).encode()
        if len(data) > MOST_BYTES:
            raise ValueError("too much data for a call")
        left = memoryview(struct.pack("!I", len(data)) + data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self.ended = True
            raise

    def receive(self) -> Any:
        """Raises EOFError if the message is too large or the other side has ended."""
        (length,) = struct.unpack("!I", self._exactly(4))
        if length > MOST_BYTES:
            raise EOFError("too much data for a call")
        return json.loads(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            try:
                more = os.read(self._descriptor, min(count - len(found), 2**16))
            except ConnectionError:
                more = b""
            if not more:
                self.ended = True
                raise EOFError("the program has ended")
            found += more
        return bytes(found)


def encode(value: Any, keep: Callable[[Any], int]) -> Any:
    """The value as JSON; an object that is not plain data as the number that `keep` returns for it."""
    kind = type(value)
    if kind in (str, float, bool, type(None)):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return {"int": hex(value)} if abs(value) >> 60 else int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if kind is list:
        return {"list": [encode(item, keep) for item in value]}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"named": [kind.__name__, list(map(str, value._fields)), [encode(item, keep) for item in value]]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item, keep) for item in value]}
    if kind in (set, frozenset):
        return {kind.__name__: [encode(item, keep) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(name, keep), encode(one, keep)] for name, one in value.items()]}
    if kind in (bytes, bytearray):
        return {kind.__name__: value.hex()}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is range:
        return {"range": [value.start, value.stop, value.step]}
    if (kind.__module__, kind.__name__) in _BY_TEXT:
        return {f"{kind.__module__}.{kind.__name__}": str(value)}
    return {"handle": keep(value)}


def decode(given: Any, handle: Callable[[int], Any]) -> Any:
    """The value of `encode`'s JSON; an object that is not plain data is what `handle` returns for its number."""
    if isinstance(given, _PLAIN):
        return given
    ((kind, value),) = given.items()
    if kind == "handle":
        return handle(value)
    if kind == "int":
        return int(value, 16)
    if kind in ("bytes", "bytearray"):
        return getattr(builtins, kind).fromhex(value)
    if kind == "complex":
        return complex(*value)
    if kind == "range":
        return range(*value)
    if kind == "dict":
        return {decode(name, handle): decode(one, handle) for name, one in value}
    if kind == "named":
        import collections

        return collections.namedtuple(*value[:2])(*(decode(one, handle) for one in value[2]))
    if "." in kind:
        module, _, name = kind.partition(".")
        return _BY_TEXT[module, name](getattr(__import__(module), name))(value)
    makes = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
    return makes(decode(item, handle) for item in value)
