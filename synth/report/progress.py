"""The progress of a run: a live display in a terminal, plain lines elsewhere, and metrics.jsonl.

Gets numbers from its caller, and passes the lines of metrics.jsonl to its followers.
"""

import json
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from synth.engines import EngineStats
from synth.errors import reason
from synth.printable import in_a_line, printable
from synth.records import Spent
from synth.report.reserved import NOTHING, Reserved, money
from synth.report.strata import Stratum, short_strata
from synth.report.strata_table import strata_table
from synth.report.time_left import Left, seconds_left
from synth.report.work import Work

PLAIN_INTERVAL_S = 10.0
METRICS_INTERVAL_S = 5.0
FIRST_INTERVAL_S = 1.0  # during the first minute, so that a short run can be measured
FIRST_S = 60.0
RATE_WINDOW_S = 30.0
LATELY_S = 5.0
SLOW_S = 2.0
NOTICEABLE = 0.02  # share of recomputed tokens
_NOT_METRICS = ("reserved", "reasons", "left", "work", "models", "strata")


@dataclass(frozen=True)
class ModelAtWork:
    """The engines of a model beside main: `engines_ready` of `engines` answer; running and waiting requests; tokens and
    busy seconds since the start of the run's process. A server's rate limit pauses one of them for `paused_s` more. The
    rest is as in Snapshot."""

    engines_ready: int
    engines: int
    running: int
    waiting: int
    prompt_tokens: int
    completion_tokens: int
    engine_seconds: float
    cached_tokens: int = 0
    paused_s: float = 0.0
    form_seconds: float = 0.0
    preempted: int = 0
    recomputed: int = 0
    cache_tokens: int = 0
    at_once: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The run at one moment. `wanted` is num_records; `made`, tokens, seconds and usage `spent` by step are totals
    since this process started. `records` are finished, with `kept` and `rejected` rows; `reasons` count the rejected
    ones. `left` and `work` are for estimating the time that is left.

    `kept` includes rows found on disk, `made` only new ones. `engine_seconds` are busy seconds of engines; replicas and
    their GPUs are `reserved` while idle, too. `paused_s` is the longest pause of one of main's engines by a server's
    rate limit.

    `preempted` requests were preempted by a full cache, and `recomputed` tokens computed again for them; all caches
    together hold `cache_tokens`, and all engines admit `at_once` requests, 0 if unknown. `form_seconds` are the
    engine-seconds of structured outputs.
    """

    kept: int
    rejected: int
    wanted: int
    records: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    left: Left | None = None
    work: Work | None = None
    made: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine_seconds: float = 0.0
    form_seconds: float = 0.0
    preempted: int = 0
    recomputed: int = 0
    cache_tokens: int = 0
    at_once: int = 0
    reserved: Reserved = NOTHING
    spent: dict[str, Spent] = field(default_factory=dict)
    running: int = 0
    waiting: int = 0
    cache_usage: float = 0.0
    paused_s: float = 0.0
    replicas_ready: int = 0
    replicas: int = 0
    models: Mapping[str, ModelAtWork] = field(default_factory=dict)
    strata: Sequence[Stratum] = ()


class Progress:
    """A context manager. Call `update` at any rate: it draws and writes at sensible intervals.

    `before` is what earlier processes of the run have reserved. The file is created at the first write.
    """

    def __init__(self, metrics: Path, console: Console | None = None, before: Reserved = NOTHING):
        self._metrics, self.before = metrics, before
        self._console = console or Console(stderr=True, highlight=False)
        self._history: deque[tuple[float, Snapshot]] = deque()
        self._last_line = self._last_metrics = float("-inf")
        self._ready_at: float | None = None  # when an engine first became ready
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
        if self._history:
            self._write_metrics(self._history[-1][1])

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
            self._live.update(_Growing(lambda: f"{what}, {_duration(time.monotonic() - began)}"))
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
        if self._ready_at is None:
            self._history.clear()  # rates exclude the start time of engines
            if now.replicas_ready:
                self._ready_at = moment
        self._history.append((moment, now))
        while len(self._history) > 2 and moment - self._history[0][0] > RATE_WINDOW_S:
            self._history.popleft()
        if self._console.is_interactive:
            self._live.update(self._table(now))
        elif moment - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = moment
            self.print_line(self._line(now))
        is_first = self._ready_at is not None and moment - self._ready_at < FIRST_S
        interval = FIRST_INTERVAL_S if is_first else METRICS_INTERVAL_S
        # Rates are measured from the first engine's start, and up to the last one's end.
        turned, self._running = self._running != (now.replicas_ready > 0), now.replicas_ready > 0
        self._updated = time.time()
        if ended or turned or moment - self._last_metrics >= interval:
            self._last_metrics = moment
            self._write_metrics(now)

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens/s over the last half minute."""
        return self._rate("completion_tokens")

    def _rate(self, name: str, window: float = RATE_WINDOW_S) -> float:
        lately = self._lately(window)
        if len(lately) < 2:
            return 0.0
        (begin, first), (end, last) = lately[0], lately[-1]
        # The counters of a lost worker are lost.
        return float(max(0.0, getattr(last, name) - getattr(first, name))) / max(end - begin, 1e-9)

    def _lately(self, window: float) -> list[tuple[float, Snapshot]]:
        """The last `window` seconds, at most the rates' window."""
        history = self._history
        return [one for one in history if window >= RATE_WINDOW_S or history[-1][0] - one[0] <= window]

    def _mean_running(self, window: float) -> float:
        lately = self._lately(window)
        return sum(one.running for _, one in lately) / max(1, len(lately))

    @property
    def goodput(self) -> float:
        """Kept records per engine-second over the last half minute."""
        seconds = self._growth("engine_seconds") if self._history else 0.0
        return self._growth("made") / seconds if seconds else 0.0

    def _growth(self, name: str) -> float:
        (_, first), (_, last) = self._history[0], self._history[-1]
        # The counters of a lost worker are lost.
        return float(max(0.0, getattr(last, name) - getattr(first, name)))

    def seconds_left(self) -> float | None:
        """None if there is no estimate yet."""
        if not self._history:
            return None
        now = self._history[-1][1]
        if now.work and now.left and self.tokens_per_second:
            at_once = self._mean_running(RATE_WINDOW_S)
            speed = self._rate("completion_tokens", LATELY_S) / max(1.0, self._mean_running(LATELY_S))
            return seconds_left(now.work, now.left, self.tokens_per_second, at_once, speed)
        rate = self._rate("made")  # of records that call no model
        return max(0.0, now.wanted - now.kept) / rate if rate > 0 else None

    def _time_left(self, now: Snapshot) -> str:
        left = 0.0 if now.kept >= now.wanted and not now.in_flight else self.seconds_left()
        return "?" if left is None else _duration(left)

    def _line(self, now: Snapshot) -> str:
        if self._ready_at is None:
            return self._loading(now)
        short = short_strata(now.strata)
        return (
            f"kept {now.kept:,}/{now.wanted:,}  rejected {now.rejected:,}{short_reasons(now.reasons)}{_records(now)}  "
            f"{self.tokens_per_second:,.0f} tokens/s  "
            f"running {now.running}  waiting {now.waiting}{_paused(now)}{self._format_recomputed()}  "
            f"left {self._time_left(now)}"
            f"{short and f'  short: {short}'}"
            f"{''.join(f'  {one}' for one in [*self._format_models(now), *self._format_cost(now)])}"
        )

    def _format_recomputed(self) -> str:
        """The cost of a cache that is too small, if noticeable."""
        again, written = (self._growth(name) for name in ("recomputed", "completion_tokens"))
        share = again / max(1.0, again + written)
        return f" (KV cache too small: {share:.0%} of tokens recomputed)" if share >= NOTICEABLE else ""

    def _format_models(self, now: Snapshot) -> list[str]:
        """Each model beside main with its tokens/s over the last half minute: prompt tokens for a model that generates
        none."""
        return [
            f"{name}: {one.engines_ready}/{one.engines} engines, {self._rate_of(name)}, "
            f"running {one.running}, waiting {one.waiting}{_paused(one)}"
            for name, one in now.models.items()
        ]

    def _rate_of(self, model: str) -> str:
        parts = [(moment, one.models[model]) for moment, one in self._lately(RATE_WINDOW_S) if model in one.models]
        if len(parts) < 2:
            return "0 tokens/s"
        (begin, first), (end, last) = parts[0], parts[-1]
        of, which = ("completion_tokens", "") if last.completion_tokens else ("prompt_tokens", " read")
        tokens = max(0, getattr(last, of) - getattr(first, of))
        return f"{tokens / max(end - begin, 1e-9):,.0f} tokens/s{which}"

    def _loading(self, now: Snapshot) -> str:
        waited = _duration(time.monotonic() - self._started)
        others = "".join(f", {name} {one.engines_ready} of {one.engines}" for name, one in now.models.items())
        return f"loading the model: {now.replicas_ready} of {now.replicas} engine(s) ready{others}, {waited}"

    def _table(self, now: Snapshot) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        if self._ready_at is None:
            table.add_row(self._loading(now))
            return table
        bar = ProgressBar(total=now.wanted, completed=min(now.kept, now.wanted), width=30)
        engines = f"{now.replicas_ready}/{now.replicas} engines"
        rejected = f"{now.rejected:,} rejected{_records(now)}"
        table.add_row(bar, f"{now.kept:,}/{now.wanted:,} kept", rejected, engines)
        table.add_row(
            f"{self.tokens_per_second:,.0f} tokens/s",
            f"{now.running} running, {now.waiting} waiting{_paused(now)}",
            f"{now.cache_usage:.0%} of KV cache{self._format_recomputed()}",
            f"{self._time_left(now)} left",
        )
        for parts in (self._format_models(now), self._format_cost(now)):
            if parts:
                table.add_row(*parts)
        below: list[RenderableType] = [strata_table(now.strata)] if now.strata else []
        if reasons := short_reasons(now.reasons, 5):
            below.append(Text(f"rejected:{printable(reasons)}", "dim"))
        return Group(table, *below) if below else table

    def _format_cost(self, now: Snapshot) -> list[str]:
        """Of the whole run so far."""
        reserved = self.before + now.reserved
        each = reserved.cost_of_a_thousand(now.kept)
        parts = [reserved.format_cost(), None if each is None else f"{money(each)} per 1,000 kept"]
        return [words for words in parts if words]

    def _write_metrics(self, now: Snapshot) -> None:
        rates = {
            "tokens_per_second": round(self.tokens_per_second, 1),
            "kept_per_second": round(self._rate("made"), 3),
            "goodput": round(self.goodput, 3),
            "seconds_left": None if (left := self.seconds_left()) is None else round(left, 1),
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


def of_caches(ever: Iterable[EngineStats], here: Iterable[EngineStats]) -> dict[str, Any]:
    """Cache statistics, over all engines so far (`ever`) and over the current ones (`here`)."""
    ever, here = list(ever), list(here)
    return {
        "preempted": sum(one.preempted or 0 for one in ever),
        "recomputed": sum(one.recomputed or 0 for one in ever),
        "cache_tokens": sum(one.cache_tokens or 0 for one in here),
        "at_once": sum(one.at_once or 0 for one in here),
    }


class _Growing:
    """A renderable that is evaluated at each refresh."""

    def __init__(self, text: Callable[[], str]):
        self._text = text

    def __rich__(self) -> str:
        return self._text()


def _paused(now: Snapshot | ModelAtWork) -> str:
    return f" (the server's rate limit: {_duration(now.paused_s)})" if now.paused_s else ""


def _records(now: Snapshot) -> str:
    """The number of records, if it differs from that of rows."""
    rows = now.kept + now.rejected
    return f", rows of {now.records:,} records" if now.records and now.records != rows else ""


def short_reasons(reasons: Mapping[str, int], most: int = 3) -> str:
    """` (12 too_short, 3 refusal, …)` from counts by `step: reason`; empty if there are none."""
    total: Counter[str] = Counter()
    for name, count in reasons.items():
        total[name.rpartition(": ")[2]] += count
    total = +total
    shown = [f"{count:,} {in_a_line(name)}" for name, count in total.most_common(most)]
    return f" ({', '.join([*shown, *(['…'] if len(total) > most else [])])})" if shown else ""


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
