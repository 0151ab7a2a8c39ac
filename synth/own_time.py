"""How long a step takes of its own: without the time in which it waits for what is ours to give.

A step waits for the engine as long as the engine is busy with others, for the pool as long as lower records take, and
for a filter's model as long as it is loaded. None of this says anything of the step. What else it does (its own HTTP
calls, its own sleep) is bounded, so that a step that never ends does not keep the run from ending.

Knows nothing of steps: whoever calls one does so inside an OwnTime, and what is ours to give is waited for in `ours()`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType

GRACE_S = 10.0  # for a task that is cancelled to come to its end

_CURRENT: ContextVar["OwnTime | None"] = ContextVar("own_time", default=None)


class OwnTime:
    """A context in whose task no more than `seconds` of its own are spent: then the task is cancelled, and `over`.

    Cancellation is taken back at the end of the context. None is no bound. Tasks that are made inside share it.
    `on_stuck` is called where the task does not end though it was cancelled.
    """

    def __init__(self, seconds: float | None, on_stuck: Callable[[], None] = lambda: None):
        self._left, self._on_stuck = seconds, on_stuck
        self._waits = 0  # of ours, side by side
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.over = False

    def __enter__(self) -> "OwnTime":
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._token: Token[OwnTime | None] = _CURRENT.set(self)
        self._go_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pause()
        self._left = None  # a task that the step left behind is not to bound what comes after it
        _CURRENT.reset(self._token)
        if self.over and self._task is not None:
            self._task.uncancel()

    def _go_on(self) -> None:
        if self._left is not None and not self.over:
            self._since = self._loop.time()
            self._timer = self._loop.call_later(self._left, self._end)

    def _pause(self) -> None:
        if self._timer is not None and self._left is not None:
            self._timer.cancel()
            self._timer = None
            self._left = max(0.0, self._left - (self._loop.time() - self._since))

    def _end(self) -> None:
        self._timer = self._loop.call_later(GRACE_S, self._on_stuck)
        self.over = True
        if self._task is not None:
            self._task.cancel()


@contextmanager
def ours() -> Iterator[None]:
    """What is waited for in here is no time of the step's own."""
    own = _CURRENT.get()
    if own is None:
        yield
        return
    own._waits += 1
    if own._waits == 1:
        own._pause()
    try:
        yield
    finally:
        own._waits -= 1
        if own._waits == 0:
            own._go_on()
