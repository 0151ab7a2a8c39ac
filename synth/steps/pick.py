"""Makes the output of a record's candidates: an answer, rows, DPO pairs, or a prompt with its verified answer."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.messages import Message, answered
from synth.records import Needs, Record, Rejection
from synth.steps.candidates import SELECTED, By, Candidate, best_first, candidates_of, failing, standing
from synth.steps.llm import LLM
from synth.steps.preference import PAIR_COLUMNS, pair, prompt_of

PROMPT_COLUMNS = {"prompt": "messages"}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Pick:
    """Makes its `output` of the answers that passed, or of all if none was verified; equal ones count once.

    `best` makes the best answer the record's response; `all` makes a record of each (ids 17/0, 17/1, …), the best
    first. `pairs` combines passed and failed answers, in the columns of Preference: the best with the worst, and so on
    while there are both. `prompt` leaves the record without an answer and adds `prompt`, for trainers that generate
    answers and reward them by `verified_answer`. At most `limit` records are made of one.

    `by` defines the best: the `first` that was drawn, the `shortest` in tokens, reasoning included, the one with the
    highest `rating` (synth/steps/rank.py), or the one that GenSelect `selected`.

    Rejections: `none_passed`, for pairs `none_failed`, `no_candidates`, `no_instruction`.
    """

    output: Literal["best", "all", "pairs", "prompt"] = "best"
    by: By = "first"
    limit: Annotated[int, Field(ge=1)] | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.output in ("best", "prompt"):
            raise ValueError(f"limit: has no effect, output={self.output} makes one record; leave it out")

    @property
    def columns(self) -> dict[str, str]:
        return {"pairs": PAIR_COLUMNS, "prompt": PROMPT_COLUMNS}.get(self.output, {})

    @property
    def rejections(self) -> tuple[str, ...]:
        unpaired = ("none_failed",) if self.output == "pairs" else ()
        return ("no_candidates", "no_instruction", "none_passed", *unpaired)

    @property
    def num_outputs(self) -> int | None:
        return self.limit if self.output in ("all", "pairs") else 1

    def needs(self) -> list[Needs]:
        by: dict[By, Needs] = {"rating": ("best_rating",), "selected": (SELECTED,)}
        verified: list[Needs] = [("pass_rate",)] if self.output in ("pairs", "prompt") else []
        return [("candidates",), *([by[self.by]] if self.by in by else []), *verified]

    def calls(self) -> list[Sampling]:
        return []

    def __call__(self, record: Record, llm: LLM) -> Record | list[Record]:
        prompt, candidates = prompt_of(record), candidates_of(record)
        best = best_first(candidates, standing(candidates), self.by, record)
        if not best:
            raise Rejection("none_passed", f"of {len(candidates)}: {_counted(candidates)}")
        if self.output == "prompt":
            return record | {"prompt": prompt, "messages": prompt, "response": None}
        if self.output == "pairs":
            made = self._pairs(record, prompt, candidates, best)
        else:
            chosen = [candidates[place] for place in best]
            made = [
                answered(record, prompt, candidate.text) | {"finish_reason": candidate.finish_reason}
                for candidate in chosen
            ]
        return made[0] if self.num_outputs == 1 else made[: self.limit]

    def _pairs(
        self, record: Record, prompt: list[Message], candidates: Sequence[Candidate], best: Sequence[int]
    ) -> list[Record]:
        worst = best_first(candidates, failing(candidates), self.by, record)[::-1]
        if not worst:
            raise Rejection("none_failed", f"of {len(candidates)}: {_counted(candidates)}")
        pairs = [(candidates[good], candidates[bad]) for good, bad in zip(best, worst, strict=False)]
        return [record | pair(prompt, good.text, bad.text, good.score or 0.0, bad.score or 0.0) for good, bad in pairs]


def _counted(candidates: Sequence[Candidate]) -> str:
    """`3 passed, 12 failed, 1 timeout`; without a verifier, why answers are not usable."""
    counts = Counter(
        candidate.verdict or ("ended" if candidate.is_whole else "cut or empty") for candidate in candidates
    )
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
