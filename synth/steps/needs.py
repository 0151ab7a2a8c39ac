"""Which columns a strategy reads, held against those that its source has, before anything is started.

A step may say what it reads by `needs()`: for each thing the columns that will do, any one of them. What steps that
say nothing of their columns add is not known, so whoever comes after one is not judged.
"""

import difflib
import json
import re
from collections.abc import Sequence

from synth.components import ConfigError, nearest
from synth.records import CONTRACT_COLUMNS
from synth.steps.chain import Strategy

_CALLED = {
    "instruction": ("prompt", "question", "query", "input", "text", "problem"),
    "response": ("output", "answer", "completion", "solution"),
    "context": ("text", "document", "passage", "content"),
}


def refuse_missing_columns(strategy: Strategy, columns: Sequence[str], source: str) -> None:
    """Raises ConfigError for the first step that reads what is not there."""
    there = set(columns)
    for step in strategy.steps:
        needs = getattr(step.function, "needs", None)
        for choices in needs() if needs else ():
            if not there.intersection(choices):
                wanted = " or ".join(map(repr, choices))
                hint = _hint(choices[0], columns) if columns else "; choose another one by source=file or source=hub"
                raise ConfigError(f"strategy.{step.name}: reads the column {wanted}, which {source} lacks{hint}")
        if step.columns is None:
            return
        there |= {*step.columns, *CONTRACT_COLUMNS}


def _hint(wanted: str, columns: Sequence[str]) -> str:
    """The nearest column, and how to rename one: that one, or what others call such a column."""
    close = difflib.get_close_matches(wanted, columns, n=1, cutoff=0.6)
    known = [name for name in _CALLED.get(wanted, ()) if name in columns]
    meant = [*close, *known, *columns][0]
    plain = meant if re.fullmatch(r"\w+", meant) else json.dumps(meant, ensure_ascii=False)
    renamed = f"a column is renamed by 'source.columns={{{wanted}: {plain}}}'"
    near = nearest(wanted, columns)
    return f"{near} Or {renamed}" if near.endswith("?") else f"{near}; {renamed}"
