"""GenSelect (arXiv 2507.17797): a model sees numbered answers to a question and names the best.

If there are more answers than it sees at once, groups compete and the winners go on: a tournament. The output is
constrained to the numbers if the engine supports it; a thinking model thinks first. The prompt's wording is ours.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Needs, Record, Rejection
from synth.steps.candidates import COLUMNS, SELECTED, Candidate, candidates_of, standing
from synth.steps.llm import LLM
from synth.steps.preference import asked_in, prompt_of
from synth.steps.prompts import render


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class GenSelect:
    """Adds `selected`, the index of the best answer in `candidates`, from 0.

    Compared are the answers that passed, or all if none was verified; equal ones once, and at most the first `n`.
    `group` of them are shown at once, shuffled by the seed, since models favour the first answer. `model` is the model
    that compares; None: the step's model.

    Rejections: `truncated_selection` and `unparsable_selection` if no number was named. If none passed, `selected` is
    null and `pick` rejects the record. Also: `no_instruction`, `no_candidates`.
    """

    n: Annotated[int, Field(ge=1)] = 16
    group: Annotated[int, Field(ge=2)] = 8
    model: str | None = None
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=2048))

    columns: ClassVar[dict[str, str]] = COLUMNS | {SELECTED: "int64"}
    rejections: ClassVar[tuple[str, ...]] = (
        "no_candidates",
        "no_instruction",
        "truncated_selection",
        "unparsable_selection",
    )

    def needs(self) -> list[Needs]:
        return [{"instruction": "text", "messages": "conversation"}, ("candidates",)]

    @property
    def outline(self) -> list[str]:
        return [f"a tournament of up to {self.n} answers, {self.group} at a time"]

    def calls(self) -> list[Sampling]:
        """Of a tournament of `n` answers."""
        calls, left = 0, self.n
        while left > 1:
            groups = [group for group in _groups(range(left), self.group)]
            calls, left = calls + sum(len(group) > 1 for group in groups), len(groups)
        return [self._sampling] * calls

    @property
    def _sampling(self) -> Sampling:
        return replace(self.sampling, model=self.sampling.model or self.model)

    async def __call__(self, record: Record, llm: LLM) -> Record:
        problem, candidates = asked_in(prompt_of(record)), candidates_of(record)
        places = standing(candidates)[: self.n]
        while len(places) > 1:
            order = llm.rng.sample(places, len(places))
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._best(problem, candidates, shown, llm))
                    for shown in _groups(order, self.group)
                ]
            places = [task.result() for task in tasks]
        return record | {SELECTED: next(iter(places), None)}

    async def _best(self, problem: str, candidates: Sequence[Candidate], shown: Sequence[int], llm: LLM) -> int:
        """The index of the best of the shown answers. Raises Rejection if none is named."""
        if len(shown) == 1:
            return shown[0]
        numbers = tuple(str(number) for number in range(1, len(shown) + 1))
        asked = render("gen_select", problem=problem, solutions=[candidates[place].text for place in shown])
        answer = await llm.chat(asked, self._sampling, choice=numbers)
        named = [found for found in re.findall(r"\d+", answer.text) if found in numbers]
        if answer.finish_reason != "stop" or not named:
            cut = answer.finish_reason != "stop"
            raise Rejection("truncated_selection" if cut else "unparsable_selection", answer.text[-100:])
        return shown[int(named[-1]) - 1]


def _groups(places: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """The fewest groups, with sizes that differ by at most one; else the last one would win against few."""
    count = -(-len(places) // size)
    return [places[len(places) * at // count : len(places) * (at + 1) // count] for at in range(count)]
