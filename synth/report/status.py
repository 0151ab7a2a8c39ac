"""The state of a running run in words: a plain line for logs, and a table for a terminal.

Both have the same numbers. Text of a model, such as a rejection reason of a step, is shown on one line and without
control characters.
"""

from collections import Counter
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from synth.printable import in_a_line, printable
from synth.report.caches import NOTICEABLE
from synth.report.rates import Rates
from synth.report.reserved import Reserved, money
from synth.report.snapshot import ModelAtWork, Snapshot
from synth.report.strata import short_strata
from synth.report.strata_table import strata_table


def loading(now: Snapshot, waited_s: float) -> str:
    """The line before the first engine is ready, `waited_s` seconds after the start."""
    others = "".join(f", {name} {one.engines_ready} of {one.engines}" for name, one in now.models.items())
    ready = f"{now.replicas_ready} of {now.replicas} engine(s) ready{others}"
    return f"loading the model: {ready}, {duration(waited_s)}"


def status_line(now: Snapshot, rates: Rates, reserved: Reserved) -> str:
    """`reserved` is of the whole run so far."""
    short = short_strata(now.strata)
    return (
        f"kept {now.kept:,}/{now.wanted:,}  rejected {now.rejected:,}{short_reasons(now.reasons)}{_records(now)}  "
        f"{rates.tokens_per_second:,.0f} tokens/s  "
        f"running {now.running}  waiting {now.waiting}{_paused(now)}{_recomputed(rates)}  "
        f"left {_time_left(now, rates)}"
        f"{short and f'  short: {short}'}"
        f"{''.join(f'  {one}' for one in [*_models(now, rates), *_cost(now, reserved)])}"
    )


def status_table(now: Snapshot, rates: Rates, reserved: Reserved) -> RenderableType:
    """`reserved` is of the whole run so far."""
    table = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=now.wanted, completed=min(now.kept, now.wanted), width=30)
    engines = f"{now.replicas_ready}/{now.replicas} engines"
    rejected = f"{now.rejected:,} rejected{_records(now)}"
    table.add_row(bar, f"{now.kept:,}/{now.wanted:,} kept", rejected, engines)
    table.add_row(
        f"{rates.tokens_per_second:,.0f} tokens/s",
        f"{now.running} running, {now.waiting} waiting{_paused(now)}",
        f"{now.cache_usage:.0%} of KV cache{_recomputed(rates)}",
        f"{_time_left(now, rates)} left",
    )
    for parts in (_models(now, rates), _cost(now, reserved)):
        if parts:
            table.add_row(*parts)
    below: list[RenderableType] = [strata_table(now.strata)] if now.strata else []
    if reasons := short_reasons(now.reasons, 5):
        below.append(Text(f"rejected:{printable(reasons)}", "dim"))
    return Group(table, *below) if below else table


def duration(seconds: float) -> str:
    """Such as `12s`, `3m05s` or `1h20m`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def short_reasons(reasons: Mapping[str, int], most: int = 3) -> str:
    """` (12 too_short, 3 refusal, …)` from counts by `step: reason`; empty if there are none."""
    total: Counter[str] = Counter()
    for name, count in reasons.items():
        total[name.rpartition(": ")[2]] += count
    total = +total
    shown = [f"{count:,} {in_a_line(name)}" for name, count in total.most_common(most)]
    return f" ({', '.join([*shown, *(['…'] if len(total) > most else [])])})" if shown else ""


def _time_left(now: Snapshot, rates: Rates) -> str:
    left = 0.0 if now.kept >= now.wanted and not now.in_flight else rates.seconds_left()
    return "?" if left is None else duration(left)


def _records(now: Snapshot) -> str:
    """The number of records, if it differs from that of rows."""
    rows = now.kept + now.rejected
    return f", rows of {now.records:,} records" if now.records and now.records != rows else ""


def _paused(now: Snapshot | ModelAtWork) -> str:
    return f" (the server's rate limit: {duration(now.paused_s)})" if now.paused_s else ""


def _recomputed(rates: Rates) -> str:
    """The cost of a cache that is too small, if noticeable."""
    again, written = (rates.growth(name) for name in ("recomputed", "completion_tokens"))
    share = again / max(1.0, again + written)
    return f" (KV cache too small: {share:.0%} of tokens recomputed)" if share >= NOTICEABLE else ""


def _models(now: Snapshot, rates: Rates) -> list[str]:
    """Each model beside main, with its tokens/s."""
    return [
        f"{name}: {one.engines_ready}/{one.engines} engines, {_model_rate(name, rates)}, "
        f"running {one.running}, waiting {one.waiting}{_paused(one)}"
        for name, one in now.models.items()
    ]


def _model_rate(model: str, rates: Rates) -> str:
    rate, kind = rates.of_model(model)
    return f"{rate:,.0f} tokens/s{' read' if kind == 'prompt_tokens' else ''}"


def _cost(now: Snapshot, reserved: Reserved) -> list[str]:
    each = reserved.cost_of_a_thousand(now.kept)
    parts = [reserved.format_cost(), None if each is None else f"{money(each)} per 1,000 kept"]
    return [words for words in parts if words]
