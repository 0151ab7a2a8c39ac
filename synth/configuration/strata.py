"""Validates the key `strata` against strategy and source, and adds its steps to the chain.

Raises ConfigError, with the key and the nearest choice, for strata that can't be filled.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from synth.errors import ConfigError, nearest
from synth.quality.quota import Quotas, Skipping
from synth.records import CONTRACT_COLUMNS
from synth.sources import is_drawn
from synth.steps.strategy import Step, Strategy
from synth.steps.stratify import Stratify
from synth.strata import OTHERS, SKIP, STRATA, Strata

_TEXTS = ("instruction", "response", "system_prompt", "finish_reason", "model")


def stratified(strategy: Strategy, strata: Strata, source: Any) -> Strategy:
    """The strategy with the steps that enforce its strata."""
    for name in (SKIP, STRATA):
        if any(step.name == name for step in strategy.steps):
            raise ConfigError(f"strategy.{name}: strata add a step of this name; rename this one")
    there = {name: kind for name, kind in strategy.columns.items() if name != "extra"}
    for column, rows in strata.rows.items():
        if column not in there and column not in _TEXTS:
            why = "is not a column of the rows: no step adds it, and no source draws it"
            declare = f"; set strategy.columns={{{column}: string}} to keep one of a source"
            raise ConfigError(f"strata.{column}: {why}{nearest(column, there) or declare}")
        labels = _labels(column, strategy, source)
        if labels is not None:
            _refuse_what_never_comes(column, rows, labels)
    known = [column for column in strata.rows if column not in strategy.added and column not in CONTRACT_COLUMNS]
    quotas = Quotas(strata, final=not strategy.duplicates)
    first = Stratify(strata, Skipping(quotas), known)
    at = 0 if strategy.pool is None else 1  # the step with the pool must be first
    steps = [*strategy.steps[:at], Step(SKIP, first, {}), *strategy.steps[at:]]
    return replace(strategy, steps=[*steps, Step(STRATA, Stratify(strata, quotas), {})])


def refuse_unfilled(strata: Strata, strategy: Strategy, columns: Sequence[str], source: str) -> None:
    """Checks that the source has the declared columns. `columns` are the source's."""
    added = strategy.added | set(CONTRACT_COLUMNS)
    silent = any(step.columns is None for step in strategy.steps)
    for column in strata.rows:
        if column not in added and column not in columns and not silent:
            why = f"no step adds this column, and {source} lacks it"
            raise ConfigError(f"strata.{column}: {why}{nearest(column, columns)}")


def _labels(column: str, strategy: Strategy, source: Any) -> list[str] | None:
    """All values of a column; None if unknown."""
    for step in reversed(strategy.steps):
        if column in (step.columns or ()):
            labels_of = getattr(step.function, "labels_of", None)
            found = labels_of(column) if labels_of else None
            return None if found is None else [*map(str, found)]
    if is_drawn(source) and column in source.labels and (distribution := getattr(source, "draw", {}).get(column)):
        return None if distribution.labels is None else [*map(str, distribution.labels)]
    return None


def _refuse_what_never_comes(column: str, rows: Any, labels: list[str]) -> None:
    for label, count in rows.items():
        if label != OTHERS and count and label not in labels:
            raise ConfigError(f"strata.{column}.{label}: {column!r} is never {label!r}{nearest(label, labels)}")
    if rows[OTHERS] and not set(labels) - rows.keys():
        total = sum(rows.values())
        why = f"asks for {total - rows[OTHERS]:,} of num_records={total:,} rows, and {column!r} has no other value"
        raise ConfigError(f"strata.{column}: {why}")
