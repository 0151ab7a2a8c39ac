"""Compares runs in one table: the settings in which they differ, and their results.

The best run has the most usable rows per generated token; synth/report/soundness.py defines usable rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from string import ascii_uppercase
from typing import Any

from synth.printable import printable
from synth.report.run_data import Run
from synth.report.soundness import Soundness, soundness
from synth.storage.manifest import differing_keys

MOST_SETTINGS = 6  # keys with a column each; with more differences runs are shown by their folders' names
LONGEST = 24  # characters of a value
# Headings of shares, by what they are shares of.
GROUPS = {
    "rows": {"kept": "kept", "usable": "usable"},
    "instructions": {"end": "asked_ended", "odd": "asked_odd", "new": "new"},
    "answers": {"end": "said_ended", "loop": "loop", "copy": "copy", "refuse": "refusal", "odd": "said_odd"},
}
TOKENS = {"kept": "kept", "usable": "usable"}  # for a row
Setting = tuple[str, list[Any]]


@dataclass(frozen=True)
class Comparison:
    """`settings` are keys with each run's value; `found` are the results of each run."""

    runs: Sequence[Run]
    settings: list[Setting]
    found: list[Soundness]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Comparison":
        """Raises Unreadable."""
        return cls(runs, settings(runs), [soundness(run) for run in runs])

    @property
    def best(self) -> int | None:
        """The run with the most usable rows per generated token; None if no run has any."""
        tokens = {place: each for place, one in enumerate(self.found) if (each := one.tokens_per("usable"))}
        return min(tokens, key=tokens.__getitem__) if tokens else None

    @property
    def names(self) -> list[Setting]:
        """What distinguishes the runs: settings, or the names of their folders."""
        shown = [(short, values) for short, (_, values) in zip(_short(self.settings), self.settings, strict=True)]
        return shown if 0 < len(shown) <= MOST_SETTINGS else [("run", [run.name for run in self.runs])]

    @property
    def chance(self) -> float:
        """A difference of two shares that may be chance, given the smallest run's number of rows."""
        return 1.96 * sqrt(2 * 0.25 / max(1, min(run.rows for run in self.found)))

    @property
    def near_best(self) -> list[int]:
        """Runs whose share of usable rows differs from the best run's by no more than chance."""
        if self.best is None:
            return []
        shares = [run.shares.get("usable", 0.0) for run in self.found]
        others = (place for place in range(len(shares)) if place != self.best)
        return [place for place in others if abs(shares[place] - shares[self.best]) < self.chance]

    def lines(self) -> Iterator[str]:
        """The table as text; the best run has a star."""
        columns = [["", "", *(("*" if place == self.best else " ") + letter(place) for place in range(len(self.runs)))]]
        columns += [["", name, *(_cell(value) for value in values)] for name, values in self.names]
        columns.append(["", "rows", *(f"{run.rows:,}" for run in self.found)])
        for group, names in GROUPS.items():
            for at, (name, share) in enumerate(names.items()):
                shares = [percent(run.shares.get(share)) for run in self.found]
                columns.append(["" if at or group == "rows" else group, name, *shares])
        for at, (name, which) in enumerate(TOKENS.items()):
            columns.append(["" if at else "tokens/row", name, *(number(run.tokens_per(which)) for run in self.found)])
        left = 1 + len(self.names)
        widths = [max(map(len, column[1:])) for column in columns]
        for row in range(len(columns[0])):
            line = ""
            for place, column in enumerate(columns):
                start = sum(widths[:place]) + 2 * place
                if row == 0:  # group headings span their columns
                    line = line.ljust(start) + column[0] if column[0] else line
                else:
                    cell = column[row].ljust(widths[place]) if place < left else column[row].rjust(widths[place])
                    line += cell + "  "
            yield line.rstrip()


def settings(runs: Sequence[Run]) -> list[Setting]:
    """The keys in which the runs' identities differ, with each run's value. A step's keys occur twice in a strategy,
    under its name and in the list; they are shown once."""
    flat = [{key: value for key, _, value in differing_keys({}, run.manifest.identity)} for run in runs]
    keys = sorted({key for identity in flat for key in identity})
    found = {key: [identity.get(key) for identity in flat] for key in keys}
    found = {key: values for key, values in found.items() if any(value != values[0] for value in values)}
    named = [(key.rpartition(".")[2], values) for key, values in found.items() if not key.startswith("strategy.steps[")]
    columns = [
        (key, values)
        for key, values in found.items()
        if not (key.startswith("strategy.steps[") and (key.rpartition(".")[2], values) in named)
    ]
    asked = [run.manifest.num_records for run in runs]
    return [("num_records", asked), *columns] if any(one != asked[0] for one in asked) else columns


def letter(place: int) -> str:
    """A run's label in tables and pages: A, B and so on, then numbers."""
    return ascii_uppercase[place] if place < len(ascii_uppercase) else str(place + 1)


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _short(settings: Sequence[Setting]) -> list[str]:
    """The shortest suffixes of dotted keys that are unique."""
    keys = [key.split(".") for key, _ in settings]
    short = []
    for key in keys:
        ends = (key[-count:] for count in range(1, len(key) + 1))
        short.append(".".join(next(end for end in ends if sum(key[-len(end) :] == end for key in keys) == 1)))
    return short


def _cell(value: Any) -> str:
    text = " ".join(printable("null" if value is None else str(value)).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
