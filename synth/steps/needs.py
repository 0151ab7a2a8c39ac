"""Checks before the start that the source has the columns that the strategy reads.

A step may declare what it reads by `needs()`: for each input the alternative columns, and their types. If a step does
not declare its columns, the steps after it are not checked.
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
# Columns that no source has, with advice.
_MADE_BY = {
    "candidates": "put a step synth.steps.sample.Sample before it",
    "pass_rate": "give synth.steps.sample.Sample a verifier",
    "best_rating": "put a step synth.steps.rank.Rank before it",
    "request": "choose source=batch, and an OpenAI batch file as source.path",
    "selected": "put a step synth.steps.gen_select.GenSelect before it",
}
_CALLED = {
    "instruction": ("prompt", "question", "query", "input", "text", "problem"),
    "response": ("output", "answer", "completion", "solution"),
    "context": ("text", "document", "passage", "content"),
}


def refuse_missing_columns(strategy: Strategy, columns: Sequence[str], source: str, *, drawn: bool = False) -> None:
    """Raises ConfigError for the first step that reads a missing column. `drawn` columns are a grid's."""
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
                hint = _hint(name, columns) if columns else "; choose source=file, source=hub or source=documents"
                raise ConfigError(f"strategy.{step.name}: reads the column {wanted}, which {source} lacks{hint}")
        if step.columns is None:
            return
        there |= {*step.columns, *CONTRACT_COLUMNS}


def refuse_unfit_columns(strategy: Strategy, kinds: Mapping[str, Sequence[str]], source: str) -> None:
    """Raises ConfigError if a column that a step reads, or a column of the dataset, has no usable value in any row.
    `kinds` are the types of the source's columns."""
    unknown: set[str] = set()
    for step in strategy.steps:
        for choices in step.needs:
            given = [name for name in choices if name in kinds and name not in unknown]
            if not isinstance(choices, Mapping) or not given or unknown.intersection(choices):
                continue
            if not any(_FITS[choices[name]].intersection(kinds[name]) for name in given):
                wanted = " or ".join(f"{name!r} ({_TOLD.get(what, what)})" for name, what in choices.items())
                advice = f"name another column by 'source.columns={{{next(iter(choices))}: NAME}}'"
                raise ConfigError(f"strategy.{step.name}: reads {wanted}, but {_found(given, kinds, source)}; {advice}")
        if step.columns is None:
            return
        unknown |= {*step.columns, *CONTRACT_COLUMNS}
    for name, kind in (strategy.declared or {}).items():
        fits = next((fits for is_kind, fits in _FITS_COLUMN if is_kind(kind)), None)
        if fits and name in kinds and name not in unknown and not {*fits, "null"}.intersection(kinds[name]):
            found = _found([name], kinds, source)
            advice = f"give the column its type, or use another one by 'source.columns={{{name}: NAME}}'"
            raise ConfigError(f"strategy.columns.{name}: is {kind}, but {found}; {advice}")


def _found(names: Sequence[str], kinds: Mapping[str, Sequence[str]], source: str) -> str:
    """The types in some columns of a source."""
    columns = (f"{name!r} holds {' and '.join(_PLURAL.get(one, f'{one}s') for one in kinds[name])}" for name in names)
    return f"in {source} {' and '.join(columns)}"


def _hint(wanted: str, columns: Sequence[str]) -> str:
    """The nearest column, and how to rename one: that one, or one with a common name for it."""
    close = difflib.get_close_matches(wanted, columns, n=1, cutoff=0.6)
    known = [name for name in _CALLED.get(wanted, ()) if name in columns]
    meant = [*close, *known, *columns][0]
    plain = meant if re.fullmatch(r"\w+", meant) else json.dumps(meant, ensure_ascii=False)
    renamed = f"rename a column by 'source.columns={{{wanted}: {plain}}}'"
    near = nearest(wanted, columns)
    return f"{near} Or {renamed}" if near.endswith("?") else f"{near}; {renamed}"
