"""Candidates: the answers that were drawn for one record, in the order of their draws, with what was said of each.

`sample` makes the column `candidates`, steps that decide write into it, and `pick` makes the record's answer of it. All
answers stay there, those that did not pass too.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from synth.records import Record, Rejection
from synth.verifiers import Verdict

By = Literal["first", "shortest", "rating", "selected"]
SELECTED = "selected"


class Candidate(NamedTuple):
    """An answer. `tokens` are those that it took, thoughts among them, None where a server does not say.

    `verdict`, `score` and `detail` are a verifier's, None where none was asked; `answer` is the final answer that was
    extracted, `rating` a judge's or a reward model's. `runs` is how often it used its tool, None without one.
    """

    model: str | None
    text: str
    finish_reason: str | None
    tokens: int | None
    verdict: str | None = None
    score: float | None = None
    detail: str | None = None
    answer: str | None = None
    rating: float | None = None
    runs: int | None = None

    @property
    def is_whole(self) -> bool:
        return bool(self.text) and self.finish_reason == "stop"

    def under(self, verdict: Verdict) -> "Candidate":
        return self._replace(verdict=verdict.verdict, score=verdict.score, detail=verdict.detail or None)


COLUMNS = {
    "candidates": "list<struct<model: string, text: string, finish_reason: string, tokens: int64, verdict: string, "
    "score: double, detail: string, answer: string, rating: double, runs: int64>>"
}


def column_of(candidates: Iterable[Candidate]) -> Record:
    """The record's column. Texts stay the objects that they are, by which their calls are known."""
    return {"candidates": [one._asdict() for one in candidates]}


def candidates_of(record: Record) -> list[Candidate]:
    """Raises Rejection, `no_candidates`, where there are none."""
    given = record.get("candidates")
    try:
        candidates = [Candidate(**one) for one in given or ()]
    except TypeError:  # of a source that calls something else so
        candidates = []
    if not candidates:
        raise Rejection("no_candidates")
    return candidates


def standing(candidates: Sequence[Candidate]) -> list[int]:
    """The places of those that may be chosen: the passing ones; where nobody verified any, all that ended by
    themselves. Of equal texts, the first."""
    verified = any(one.verdict is not None for one in candidates)
    return _different(candidates, lambda one: one.verdict == "passed" if verified else one.is_whole)


def failing(candidates: Sequence[Candidate]) -> list[int]:
    """The places of those that a verifier failed, and that max_tokens did not cut. Of equal texts, the first."""
    return _different(candidates, lambda one: one.verdict == "failed" and one.is_whole)


def best_first(candidates: Sequence[Candidate], places: Sequence[int], by: By, record: Record) -> list[int]:
    """The places in another order; of equals the first one drawn comes first."""
    # Tokens of thoughts count. Where a server tells none, only the length of the answers can be compared.
    told = all(candidates[place].tokens for place in places)

    def value(place: int) -> Any:
        one = candidates[place]
        return {
            "first": 0,
            "shortest": one.tokens if told else len(one.text),
            "rating": float("inf") if one.rating is None else -one.rating,
            "selected": place != record.get(SELECTED),
        }[by]

    return sorted(places, key=value)


def _different(candidates: Sequence[Candidate], wanted: Callable[[Candidate], Any]) -> list[int]:
    places = {one.text: place for place, one in reversed(list(enumerate(candidates))) if wanted(one)}
    return sorted(places.values())
