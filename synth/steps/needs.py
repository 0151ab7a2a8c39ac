"""Which columns a strategy reads, held against those that its source has, before anything is started.

A step may say what it reads by `needs()`: for each thing the columns that will do, any one of them, and what they have
to hold. What steps that say nothing of their columns add is not known, so whoever comes after one is not judged.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from synth.errors import ConfigError, nearest
from synth.records import CONTRACT_COLUMNS
from synth.steps.strategy import Strategy

_FITS = {
    "text": {"text"},
    "texts": {"text", "texts"},
    "number": {"number"},
    "conversation": {"conversation"},
}
_TOLD = {"texts": "text", "conversation": "a list of {role, content}, both texts"}
_PLURAL = {"null": "null", "texts": "lists of texts", "conversation": "conversations"}
_FITS_COLUMN: list[tuple[Callable[[pa.DataType], bool], set[str]]] = [
    (pa.types.is_string, {"text"}),
    (pa.types.is_boolean, {"truth value"}),
    (pa.types.is_integer, {"number"}),
    (pa.types.is_floating, {"number"}),
    (pa.types.is_list, {"list", "texts", "conversation"}),
    (pa.types.is_struct, {"object"}),
]
# Columns that no source has.
_MADE_BY = {
    "candidates": "a step synth.steps.sample.Sample before it adds it",
    "pass_rate": "synth.steps.sample.Sample adds it where it has a verifier",
    "best_rating": "a step synth.steps.rank.Rank before it adds it",
    "selected": "a step synth.steps.gen_select.GenSelect before it adds it",
}
_CALLED = {
    "instruction": ("prompt", "question", "query", "input", "text", "problem"),
    "response": ("output", "answer", "completion", "solution"),
    "context": ("text", "document", "passage", "content"),
}


def refuse_missing_columns(strategy: Strategy, columns: Sequence[str], source: str, *, drawn: bool = False) -> None:
    """Raises ConfigError for the first step that reads what is not there. `drawn` columns are a grid's."""
    there = set(columns)
    for step in strategy.steps:
        for choices in step.needs:
            if not there.intersection(choices):
                wanted = " or ".join(map(repr, choices))
                name = next(iter(choices))
                if made_by := _MADE_BY.get(name):
                    raise ConfigError(f"strategy.{step.name}: reads the column {wanted}; {made_by}")
                if drawn:
                    why = f"which {source} does not draw{nearest(name, columns)}"
                    raise ConfigError(f"strategy.{step.name}: reads the column {wanted}, {why}")
                hint = _hint(name, columns) if columns else "; choose another one by source=file or source=hub"
                raise ConfigError(f"strategy.{step.name}: reads the column {wanted}, which {source} lacks{hint}")
        if step.columns is None:
            return
        there |= {*step.columns, *CONTRACT_COLUMNS}


def refuse_unfit_columns(strategy: Strategy, kinds: Mapping[str, Sequence[str]], source: str) -> None:
    """Raises ConfigError where what is read, by a step or as a column of the dataset, is of a kind that is no use in
    any row. `kinds` are those of the source's columns."""
    unknown: set[str] = set()
    for step in strategy.steps:
        for choices in step.needs:
            given = [name for name in choices if name in kinds and name not in unknown]
            if not isinstance(choices, Mapping) or not given or unknown.intersection(choices):
                continue
            if not any(_FITS[choices[name]].intersection(kinds[name]) for name in given):
                wanted = " or ".join(f"{name!r} ({_TOLD.get(what, what)})" for name, what in choices.items())
                advice = f"'source.columns={{{next(iter(choices))}: NAME}}' names another column"
                raise ConfigError(f"strategy.{step.name}: reads {wanted}, but {_found(given, kinds, source)}; {advice}")
        if step.columns is None:
            return
        unknown |= {*step.columns, *CONTRACT_COLUMNS}
    for name, kind in (strategy.declared or {}).items():
        fits = next((fits for is_kind, fits in _FITS_COLUMN if is_kind(kind)), None)
        if fits and name in kinds and name not in unknown and not {*fits, "null"}.intersection(kinds[name]):
            found = _found([name], kinds, source)
            advice = f"give the column its type, or another one this name by 'source.columns={{{name}: NAME}}'"
            raise ConfigError(f"strategy.columns.{name}: is {kind}, but {found}; {advice}")


def _found(names: Sequence[str], kinds: Mapping[str, Sequence[str]], source: str) -> str:
    """What a source has in some columns."""
    told = (f"{name!r} holds {' and '.join(_PLURAL.get(one, f'{one}s') for one in kinds[name])}" for name in names)
    return f"in {source} {' and '.join(told)}"


def _hint(wanted: str, columns: Sequence[str]) -> str:
    """The nearest column, and how to rename one: that one, or what others call such a column."""
    close = difflib.get_close_matches(wanted, columns, n=1, cutoff=0.6)
    known = [name for name in _CALLED.get(wanted, ()) if name in columns]
    meant = [*close, *known, *columns][0]
    plain = meant if re.fullmatch(r"\w+", meant) else json.dumps(meant, ensure_ascii=False)
    renamed = f"a column is renamed by 'source.columns={{{wanted}: {plain}}}'"
    near = nearest(wanted, columns)
    return f"{near} Or {renamed}" if near.endswith("?") else f"{near}; {renamed}"
