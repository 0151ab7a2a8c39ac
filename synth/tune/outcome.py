"""The results of a tune: a table, the best candidate, and its settings as a file for `engine=FILE`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from synth.report.comparison import letter
from synth.storage.run_folder import atomic_write, written_over
from synth.trials.trial import Trial
from synth.tune.candidate import Measured
from synth.tune.speed import Speed, speed

MARK = "# By synth.tune"  # identifies files of its own


@dataclass(frozen=True)
class Outcome:
    trial: Trial
    measured: Measured

    @property
    def speed(self) -> Speed | None:
        return speed(self.measured.samples)

    @property
    def gpus(self) -> float:
        return float(self.trial.config.engine.placement(False, 0).gpus)

    @property
    def per_gpu(self) -> float | None:
        """Tokens/s per GPU, or per engine without GPUs: an engine of two GPUs takes the space of two."""
        found = self.speed
        return None if found is None else found.tokens / (self.gpus or 1)

    @property
    def problem(self) -> str | None:
        """Why there is no measurement."""
        if self.measured.refused or self.speed:
            return self.measured.refused
        return "ended before its batch was full for any time; set a larger num_records or minutes"


def best(outcomes: Sequence[Outcome]) -> int | None:
    """The index of the fastest."""
    rates = {place: one.per_gpu for place, one in enumerate(outcomes)}
    return max((place for place, rate in rates.items() if rate), key=lambda place: rates[place] or 0.0, default=None)


def table(outcomes: Sequence[Outcome], star: int | None) -> Iterator[str]:
    keys = list(dict.fromkeys(key for outcome in outcomes for key in outcome.trial.own))
    on_gpus = any(outcome.gpus > 1 for outcome in outcomes)
    heading = ["", *(key.removeprefix("engine.") for key in keys), "start", "at once", "preempted"]
    rows = [[*heading, "tokens/s", *(["a GPU"] if on_gpus else []), "kept/s"]]
    left = 1 + len(keys)
    for place, one in enumerate(outcomes):
        name = ("*" if place == star else " ") + letter(place)
        rows.append([name, *(one.trial.own.get(key, "") for key in keys), *_figures(one, on_gpus)])
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(len(rows[0]))]
    for row, outcome in zip(rows, [None, *outcomes], strict=True):
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        why = outcome.problem if outcome else None
        yield "  ".join([*cells, *([why] if why else [])]).rstrip()


def _figures(one: Outcome, on_gpus: bool) -> list[str]:
    found, start_s = one.speed, one.measured.start_s
    start = "–" if start_s is None else f"{start_s:.0f} s"
    if one.problem or found is None:
        return [start]
    preempted = "–" if found.preempted is None else f"{found.preempted:,}"
    each = [f"{one.per_gpu:,.0f}"] if on_gpus else []
    return [start, f"{found.at_once:,.0f}", preempted, f"{found.tokens:,.0f}", *each, f"{found.kept:.3g}"]


def write_preset(path: Path, outcome: Outcome, command: str) -> None:
    """Raises OSError."""
    found = outcome.speed
    figure = f"{found.tokens:,.0f} tokens/s" if found else "not measured"
    lines = [f"{MARK} for {outcome.trial.config.model.name}: {figure} here, by", f"#   python -m synth.tune {command}"]
    with atomic_write(written_over(path, MARK)) as unfinished:
        keys = OmegaConf.to_yaml(OmegaConf.create(outcome.trial.config.resolved["engine"]))
        unfinished.write_text("\n".join([*lines, keys]), encoding="utf-8")
