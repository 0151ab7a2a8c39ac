"""An event loop whose clock jumps to the next thing that is to happen: nothing takes time, and nothing is ever late.

For code that only sleeps and waits for itself. What waits for a thread waits for real.
"""

import asyncio
import selectors


class VirtualTime(asyncio.SelectorEventLoop):
    def __init__(self):
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTime):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if timeout is None:
            return super().select()
        events = super().select(0)
        if not events:
            self._loop.jump(timeout)
        return events


class VirtualTimePolicy(asyncio.DefaultEventLoopPolicy):
    _loop_factory = VirtualTime
