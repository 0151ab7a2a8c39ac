"""The progress of a run: a live display in a terminal, plain lines elsewhere, and metrics.jsonl.

Gets snapshots from its caller, shows their state (status.py), and passes the lines of metrics.jsonl to its followers. A
full disk or a failing follower does not end the run.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live

from synth.errors import reason
from synth.printable import printable
from synth.report.rates import Rates
from synth.report.reserved import NOTHING, Reserved
from synth.report.snapshot import Snapshot
from synth.report.status import duration, loading, status_line, status_table

PLAIN_INTERVAL_S = 10.0
METRICS_INTERVAL_S = 5.0
FIRST_INTERVAL_S = 1.0  # during the first minute, so that a short run can be measured
FIRST_S = 60.0
SLOW_S = 2.0
_NOT_METRICS = ("reserved", "reasons", "left", "work", "models", "strata")


class Progress:
    """A context manager. Call `update` at any rate: it draws and writes at sensible intervals.

    `before` is what earlier processes of the run have reserved. `rates` are those of the last half minute. The file is
    created at the first write.
    """

    def __init__(self, metrics: Path, console: Console | None = None, before: Reserved = NOTHING):
        self._metrics, self.before = metrics, before
        self._console = console or Console(stderr=True, highlight=False)
        self.rates = Rates()
        self._last_line = self._last_metrics = float("-inf")
        self._running = False  # whether an engine is ready
        self.followers: list[Callable[[Mapping[str, Any]], None]] = []

    def __enter__(self) -> "Progress":
        self._started, self._started_at = time.monotonic(), time.time()
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        if self._console.is_interactive:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self.rates.last:
            self._write_metrics(self.rates.last)

    def print_line(self, line: str) -> None:
        """Print a permanent line: a lost worker, a stop. It may contain a model's text."""
        self._console.print(printable(line), markup=False, soft_wrap=True)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Names an activity without countable progress: at once in a terminal, elsewhere if it takes more than
        SLOW_S."""
        began = time.monotonic()
        slow = threading.Timer(SLOW_S, lambda: self.print_line(what))
        slow.daemon = True
        if self._console.is_interactive:
            self._live.update(_Growing(lambda: f"{what}, {duration(time.monotonic() - began)}"))
        else:
            slow.start()
        try:
            yield
        finally:
            slow.cancel()
            if self._console.is_interactive:
                self._live.update("")

    @contextmanager
    def warnings_of(self, log: logging.Logger) -> Iterator[None]:
        """Prints the log's warnings as lines above the display."""
        progress = self

        class Lines(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                progress.print_line(record.getMessage())

        handler = Lines(logging.WARNING)
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)

    def update(self, now: Snapshot, ended: bool = False) -> None:
        """`ended` if this is the last update: its numbers are written at once."""
        moment = time.monotonic()
        self.rates.add(moment, now)
        ready_at = self.rates.ready_at
        if self._console.is_interactive:
            if ready_at is None:
                self._live.update(loading(now, moment - self._started))
            else:
                self._live.update(status_table(now, self.rates, self.before + now.reserved))
        elif moment - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = moment
            if ready_at is None:
                self.print_line(loading(now, moment - self._started))
            else:
                self.print_line(status_line(now, self.rates, self.before + now.reserved))
        is_first = ready_at is not None and moment - ready_at < FIRST_S
        interval = FIRST_INTERVAL_S if is_first else METRICS_INTERVAL_S
        # Rates are measured from the first engine's start, and up to the last one's end.
        turned, self._running = self._running != (now.replicas_ready > 0), now.replicas_ready > 0
        self._updated = time.time()
        if ended or turned or moment - self._last_metrics >= interval:
            self._last_metrics = moment
            self._write_metrics(now)

    def _write_metrics(self, now: Snapshot) -> None:
        rates = {
            "tokens_per_second": round(self.rates.tokens_per_second, 1),
            "kept_per_second": round(self.rates.per_second("made"), 3),
            "goodput": round(self.rates.goodput, 3),
            "seconds_left": None if (left := self.rates.seconds_left()) is None else round(left, 1),
        }
        times = {"time": round(self._updated, 3), "started": round(self._started_at, 3)}
        plain = {name: value for name, value in (vars(now) | vars(now.reserved)).items() if name not in _NOT_METRICS}
        spent = {step: _rounded(one._asdict()) for step, one in now.spent.items()}
        line = times | _rounded(plain) | {"cost": now.reserved.cost, "spent": spent} | rates  # a cost may be small
        if not now.reserved.cost_of_tokens:
            del line["cost_of_tokens"]
        if now.models:
            line["models"] = {name: _rounded(asdict(one)) for name, one in now.models.items()}
        # A full disk must not end the display.
        with suppress(OSError), self._metrics.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")
        for follow in list(self.followers):
            try:
                follow(line)
            except Exception as error:  # of a third-party library
                self.followers.remove(follow)
                self.print_line(f"metrics: {type(follow).__name__} failed ({reason(error)}); going on without it")


class _Growing:
    """A renderable that is evaluated at each refresh."""

    def __init__(self, text: Callable[[], str]):
        self._text = text

    def __rich__(self) -> str:
        return self._text()


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
