"""Rates each candidate by a judge or a reward model (best-of-n)."""

import asyncio
from dataclasses import field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling, Task
from synth.quality.reward import pooling_of
from synth.records import Needs, Record, Rejection
from synth.steps.candidates import COLUMNS, candidates_of, column_of, standing
from synth.steps.judge import Judge
from synth.steps.judgement import UNREADABLE
from synth.steps.llm import LLM
from synth.steps.preference import GivenRewardModel, prompt_of, rated
from synth.template import unfilled


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Rank:
    """Writes ratings into `candidates`, and adds `best_rating`, the highest.

    Rated are the answers that passed, or all if none was verified; equal ones once, and at most the first `n`. An
    answer that can't be rated has no rating.

    Rejections, if none can be rated: `no_score`, or the judge's reason. If none passed, nothing is rated, and `pick`
    rejects the record. Also: `no_instruction`, `no_candidates`.
    """

    n: Annotated[int, Field(ge=1)] = 16
    judge: Judge = field(default_factory=Judge)
    reward_model: GivenRewardModel = None

    columns: ClassVar[dict[str, str]] = COLUMNS | {"best_rating": "double"}

    @property
    def rejections(self) -> tuple[str, ...]:
        if self.reward_model is not None:
            return ("no_candidates", "no_instruction", "no_score")
        unread = unfilled(self.judge.prompt, *self.judge.criteria)
        return ("no_candidates", "no_instruction", *UNREADABLE, *unread)

    def needs(self) -> list[Needs]:
        return [{"instruction": "text", "messages": "conversation"}, ("candidates",)]

    def calls(self) -> list[Sampling]:
        return [] if self.reward_model is not None else self.judge.calls() * self.n

    @property
    def pooling(self) -> dict[str, Task]:
        return pooling_of(self.reward_model)

    async def __call__(self, record: Record, llm: LLM) -> Record:
        prompt, candidates = prompt_of(record), candidates_of(record)
        places = standing(candidates)[: self.n]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(rated(record, prompt, candidates[place].text, self.judge, self.reward_model, llm))
                for place in places
            ]
        found = [task.result() for task in tasks]
        ratings = {place: one for place, one in zip(places, found, strict=True) if isinstance(one, float)}
        if places and not ratings:
            raise next(outcome for outcome in found if isinstance(outcome, Rejection))
        rated_ones = [one._replace(rating=ratings.get(place)) for place, one in enumerate(candidates)]
        return record | column_of(rated_ones) | {"best_rating": max(ratings.values(), default=None)}
