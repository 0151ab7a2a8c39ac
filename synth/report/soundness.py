"""Quality of a run's rows by Synth's own filters, which count here and reject nothing: the share of usable rows.

A row is usable if it was kept, its instruction and its answer ended by themselves, no filter finds a fault in either,
and its instruction is not a near duplicate of an earlier one. The filters are those of synth/quality that need no model
and work for every language, with their defaults; docs/filters.md has their accuracy.

Large runs are judged by a sample, evenly spaced over all rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from synth.engines.repetition import REPETITION
from synth.quality.answer import Answer
from synth.quality.gibberish import Gibberish
from synth.quality.near_duplicate import NearDuplicate, signature
from synth.quality.refusal import Refusal
from synth.quality.repetition import Repetition
from synth.quality.request import Request
from synth.records import CUT, Record, Rejection
from synth.report.run_data import Run

MOST_ROWS = 500  # kept rows, and as many rejected ones

_ASKED: tuple[Any, ...] = (Request(column="user"), Repetition(column="user"), Gibberish(column="user"))
_SAID: tuple[Any, ...] = (
    Repetition(column="assistant"),
    Refusal(column="assistant"),
    Answer(),
    Gibberish(column="assistant"),
)
_NAMES = {"repeated_lines": "loop", "repeated_words": "loop", "copies_instruction": "copy", "refusal": "refusal"}

Facts = dict[str, bool]


@dataclass(frozen=True)
class Soundness:
    """`shares`, from 0 to 1, are by the names of FACTS; one is missing if its denominator is 0. `tokens` are all
    generated tokens of the `rows`."""

    rows: int
    tokens: int
    shares: dict[str, float] = field(default_factory=dict)

    def tokens_per(self, name: str) -> float | None:
        """Generated tokens, rejected rows included, per `kept` or `usable` row."""
        share = self.shares.get(name)
        return self.tokens / (share * self.rows) if share else None


# The denominators: all rows, rows with an instruction, kept rows (`new`), rows with an answer.
FACTS = {
    "kept": "rows kept, of all",
    "usable": "rows kept and found without a fault, of all",
    "asked_ended": "instructions that ended by themselves",
    "asked_odd": "instructions that loop, are gibberish, or no user's words",
    "new": "kept instructions that are not nearly those of an earlier row",
    "said_ended": "answers that ended by themselves",
    "loop": "answers that loop",
    "copy": "answers that copy the instruction",
    "refusal": "answers that refuse",
    "said_odd": "answers that are gibberish, hold the chat's scaffolding, or are a user's words",
}


def soundness(run: Run) -> Soundness:
    """Raises Unreadable."""
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in FACTS}
    for split in ("kept", "rejected"):
        rows = run.rows(split, MOST_ROWS)
        for facts in _kept_facts(rows) if split == "kept" else map(_rejected_facts, rows):
            for name, is_so in facts.items():
                found[name].append((is_so, run.counts[split] / len(rows)))
    shares = {
        name: sum(weight for is_so, weight in one if is_so) / sum(weight for _, weight in one)
        for name, one in found.items()
        if one
    }
    tokens = sum(summary.completion_tokens for summary in run.manifest.summaries)
    return Soundness(sum(run.counts.values()), tokens, shares)


def _kept_facts(rows: Sequence[Record]) -> Iterator[Facts]:
    """Of rows in record order."""
    duplicates = NearDuplicate()
    earlier = duplicates.duplicates.index()
    for place, row in enumerate(rows):
        facts = _facts(row) | {"kept": True}
        if text := row["instruction"]:
            key = signature(text, duplicates.ngram, duplicates.permutations)
            facts["new"] = earlier.lowest([(place,)], [key]) == [None]
            earlier.put([(place,)], [key])
            earlier.close([(place,)])
        good = all(facts.get(name, True) for name in ("asked_ended", "said_ended", "new"))
        yield facts | {"usable": good and not any(facts.get(name) for name in (*_faults(), "asked_odd"))}


def _rejected_facts(row: Record) -> Facts:
    return _facts(row) | {"kept": False, "usable": False}


def _faults() -> tuple[str, ...]:
    return ("loop", "copy", "refusal", "said_odd")


def _facts(row: Record) -> Facts:
    """The facts that hold for a row, and those that don't; undefined ones are missing."""
    facts: Facts = {}
    if row["instruction"] is not None:
        looped = row.get("reason") == REPETITION and not row["response"]
        is_cut = looped or row.get("reason") == "truncated_instruction"
        facts |= {"asked_ended": not is_cut, "asked_odd": any(_found(row, _ASKED))}
    if row["response"]:
        is_cut = row["finish_reason"] in CUT or row.get("reason") in ("truncated_response", REPETITION)
        names = {_NAMES.get(reason, "said_odd") for reason in _found(row, _SAID)}
        names = names - {"said_odd"} or names  # a loop also counts as gibberish, since it compresses well
        facts |= {"said_ended": not is_cut} | {name: name in names for name in _faults()}
    return facts


def _found(row: Record, filters: Sequence[Any]) -> Iterator[str]:
    """The reasons for which filters would reject the row, except missing texts."""
    for one in filters:
        try:
            one(row, None)
        except Rejection as why:
            if not why.reason.startswith("no_"):
                yield why.reason
