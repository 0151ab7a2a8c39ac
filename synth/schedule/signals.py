"""Ctrl-C, and the signals that SLURM and others send before they kill, as an asyncio event."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stop(asyncio.Event):
    """Set by the first of the signals; `signal` is the last one's name."""

    signal: str | None = None


@contextmanager
def stop_signals(print_line: Callable[[str], None]) -> Iterator[Stop]:
    """Handle the signals while the context is open, in a running event loop; prints a line at the first signal."""
    loop, stop = asyncio.get_running_loop(), Stop()

    def on_signal(number: signal.Signals) -> None:
        if stop.signal is None:
            print_line(f"{number.name}: stopping; finished records are written to disk")
        stop.signal = number.name
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
