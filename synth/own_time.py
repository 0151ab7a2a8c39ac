"""Measures a step's own time, without waiting for resources that Synth provides.

A step waits for a busy engine, for the pool as long as lower records take, and for the loading of a filter's model.
None of that is the step's fault. Its other time (its own HTTP calls, its own sleep) is bounded, so that a step that
never ends does not block the run.

A step is called inside an OwnTime, and Synth's resources are awaited inside `ours()`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType

GRACE_S = 10.0  # for a cancelled task to end

_CURRENT: ContextVar["OwnTime | None"] = ContextVar("own_time", default=None)


class OwnTime:
    """A context that cancels its task after `seconds` of own time, and is then `over`.

    The cancellation is undone at the end of the context. None is no bound. Child tasks share it. `on_stuck` is called
    if the task does not end after its cancellation.
    """

    def __init__(self, seconds: float | None, on_stuck: Callable[[], None] = lambda: None):
        self._left, self._on_stuck = seconds, on_stuck
        self._waits = 0  # concurrent waits for our resources
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
        self._left = None  # a task that the step left running must not affect what follows
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
    """Waiting in this context is not the step's own time."""
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
