"""Candidates: the answers drawn for a record, in order, with their verdicts and ratings.

`sample` adds the column `candidates`, verifying and rating steps write into it, and `pick` selects the record's answer.
All answers stay in the column, also failed ones.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from synth.records import Record, Rejection
from synth.verifiers import Verdict

By = Literal["first", "shortest", "rating", "selected"]
SELECTED = "selected"


class Candidate(NamedTuple):
    """An answer. `tokens` includes its reasoning; None if a server does not report it.

    `verdict`, `score` and `detail` are a verifier's, None without one; `answer` is the extracted final answer, `rating`
    a judge's or reward model's. `runs` is how often it used its tool, None without one.
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
    """The record's column. The texts stay the same objects, by which their calls are known."""
    return {"candidates": [candidate._asdict() for candidate in candidates]}


def candidates_of(record: Record) -> list[Candidate]:
    """Raises Rejection `no_candidates` if there are none."""
    given = record.get("candidates")
    try:
        candidates = [Candidate(**one) for one in given or ()]
    except TypeError:  # a column of this name from a source
        candidates = []
    if not candidates:
        raise Rejection("no_candidates")
    return candidates


def standing(candidates: Sequence[Candidate]) -> list[int]:
    """The indexes of answers that may be chosen: those that passed; without a verifier, all that ended by themselves.
    Of equal texts, the first."""
    verified = any(candidate.verdict is not None for candidate in candidates)
    return _different(candidates, lambda one: one.verdict == "passed" if verified else one.is_whole)


def failing(candidates: Sequence[Candidate]) -> list[int]:
    """The indexes of answers that a verifier failed and max_tokens did not cut. Of equal texts, the first."""
    return _different(candidates, lambda one: one.verdict == "failed" and one.is_whole)


def best_first(candidates: Sequence[Candidate], places: Sequence[int], by: By, record: Record) -> list[int]:
    """The indexes sorted; of equal ones the first drawn comes first."""
    # Tokens of reasoning count. If a server reports none, the length of answers is compared.
    counted = all(candidates[place].tokens for place in places)

    def value(place: int) -> Any:
        one = candidates[place]
        return {
            "first": 0,
            "shortest": one.tokens if counted else len(one.text),
            "rating": float("inf") if one.rating is None else -one.rating,
            "selected": place != record.get(SELECTED),
        }[by]

    return sorted(places, key=value)


def _different(candidates: Sequence[Candidate], wanted: Callable[[Candidate], Any]) -> list[int]:
    places = {one.text: place for place, one in reversed(list(enumerate(candidates))) if wanted(one)}
    return sorted(places.values())
