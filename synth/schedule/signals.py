"""Ctrl-C, and the signals that SLURM and others send before they kill, as an event that a run can wait for."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stop(asyncio.Event):
    """Set by the first of the signals; `signal` is the last one's name."""

    signal: str | None = None


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[Stop]:
    """Handles the signals until the end of the context, in a running event loop, and says so at the first one."""
    loop, stop = asyncio.get_running_loop(), Stop()

    def on_signal(number: signal.Signals) -> None:
        if stop.signal is None:
            say(f"{number.name}: writing down what is finished")
        stop.signal = number.name
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
