"""The start of an engine, and what a failed one says: whether another try can end differently.

What is configured wrongly, missing or too large stays so. What another process holds, or a machine that does not answer
yet, may come. Of all else nobody knows: it is tried twice (see synth/schedule/scheduler.py).
"""

import re
from collections.abc import Iterable

from synth.components.protocols import unfit
from synth.engines import Engine, EngineError, PoolingEngine, Unavailable, Unusable, engine_protocol
from synth.errors import reason

# By their names, because vLLM tells those of its other processes as text. OSError is what transformers raises for files
# that are not there.
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
    """EngineStats its model. Raises what start_failure makes of an error, and Unusable where it is no engine even
    then."""
    try:
        await engine.start()
    except Exception as error:  # of any library
        raise start_failure(error) from error
    if problem := unfit(engine, engine_protocol(engine)):
        raise Unusable(f"engine: when it is started, {problem}")


def start_failure(error: Exception) -> EngineError:
    """The same failure as Unusable, Unavailable, or an EngineError of which nobody knows."""
    if isinstance(error, Unusable | Unavailable):
        return error
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    told = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {reason(error)}"
    return judged(told, {one.__name__ for one in type(root).__mro__}, str(root))


def judged(told: str, kinds: Iterable[str], root: str = "") -> EngineError:
    """An error by its words, and by those and the names of the classes that its root cause has."""
    words = f"{told} {root}"
    if _PASSES_SAYING.search(words) or not _PASSES.isdisjoint(kinds):
        return Unavailable(told)
    if _STAYS_SAYING.search(words) or not _STAYS.isdisjoint(kinds):
        return Unusable(told)
    return EngineError(told)


def kind_of(line: str) -> list[str]:
    """The name of the error that a line of a log tells of."""
    found = _NAMED.match(line)
    return [found[1]] if found else []
