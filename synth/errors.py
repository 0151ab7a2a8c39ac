"""One-line errors: bad configuration, and exceptions of other libraries in one line."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from synth.printable import printable


class ConfigError(ValueError):
    """Bad configuration or input: one line that names the key or file. Nothing has been started.

    The message may contain text from a foreign file: control characters are escaped.
    """

    def __init__(self, message: str):
        line = " ".join(message.split())
        super().__init__(printable(line))


class AnotherRun(ConfigError):
    """A run's folder contains another run. `differing` lists the keys that differ."""

    def __init__(self, message: str, folder: Path, differing: str):
        super().__init__(message)
        self.folder, self.differing = folder, printable(differing)


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the most similar choice, else the choices themselves if they are few."""
    choices = sorted(set(choices))
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.75)
    if not close:
        # The last part of a dotted key has more weight than a shared prefix.
        last = {choice: choice.rpartition(".")[2] for choice in choices}
        best = difflib.get_close_matches(word.rpartition(".")[2], last.values(), n=1, cutoff=0.6)
        close = [choice for choice in choices if best and last[choice] == best[0]][:1]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; choose from {', '.join(choices)}" if 0 < len(choices) <= 30 else ""


def reason(error: BaseException) -> str:
    """The first line of an exception's message, or its class name. For a pydantic error: each key with its problem."""
    if isinstance(error, ValidationError):
        return "; ".join(
            ": ".join([*map(str, one["loc"]), one["msg"].removeprefix("Value error, ")]) for one in error.errors()
        )
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
