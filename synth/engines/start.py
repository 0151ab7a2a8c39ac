"""Starts an engine, and classifies a failed start: whether another try may succeed.

Errors of configuration, missing files and models that are too large are permanent. Resources of another process, or a
machine that does not answer yet, may become available. Any other failure is tried twice (see
synth/schedule/scheduler.py).
"""

import re
from collections.abc import Iterable

from synth.components.protocols import unfit
from synth.engines import Engine, EngineError, PoolingEngine, Unavailable, Unusable, engine_protocol
from synth.errors import reason

# By name, because vLLM reports the errors of its other processes as text. Transformers raises OSError for missing
# files.
_STAYS = frozenset(
    "ValueError TypeError KeyError IndexError AttributeError NameError NotImplementedError ImportError SyntaxError "
    "OSError UnicodeError SafetensorError UnpicklingError ModuleNotFoundError FileNotFoundError NotADirectoryError "
    "PermissionError ValidationError JSONDecodeError ConfigError".split()
)
_PASSES = frozenset("ConnectionError TimeoutError ConnectTimeout ReadTimeout BlockingIOError InterruptedError".split())
_STAYS_SAYING = re.compile(r"find any model weights|max seq len|KV cache|cache blocks", re.IGNORECASE)
_PASSES_SAYING = re.compile(r"free memory|couldn't connect|connection (error|refused|reset)|timed out", re.I)
_NAMED = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception)): ")


async def start(engine: Engine | PoolingEngine) -> None:
    """Load its model. Raises the result of start_failure, and Unusable if it is still no engine afterwards."""
    try:
        await engine.start()
    except Exception as error:  # of any library
        raise start_failure(error) from error
    if problem := unfit(engine, engine_protocol(engine)):
        raise Unusable(f"engine: after its start, {problem}")


def start_failure(error: Exception) -> EngineError:
    """The failure as Unusable, Unavailable, or a plain EngineError if it can't be classified."""
    if isinstance(error, Unusable | Unavailable):
        return error
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    message = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {reason(error)}"
    return classified(message, {one.__name__ for one in type(root).__mro__}, str(root))


def classified(text: str, kinds: Iterable[str], root: str = "") -> EngineError:
    """An error by its text, and by the text and class names of its root cause."""
    words = f"{text} {root}"
    if _PASSES_SAYING.search(words) or not _PASSES.isdisjoint(kinds):
        return Unavailable(text)
    if _STAYS_SAYING.search(words) or not _STAYS.isdisjoint(kinds):
        return Unusable(text)
    return EngineError(text)


def kind_of(line: str) -> list[str]:
    """The class name of the error in a line of a log."""
    found = _NAMED.match(line)
    return [found[1]] if found else []
