"""UltraFeedback (arXiv 2310.01377, section 3): responses of several models to one instruction, rated by aspect.

As published: `k` models of a pool answer, each with its own principle. For each of four aspects a judge sees all
responses in a new order, and rates each from 1 to 5 with a rationale. A response's score is the mean of its ratings;
the best and the worst are the pair. All responses stay in the column `candidates`.

The wording of principles and rubrics is ours.
"""

import asyncio
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Needs, Record, Rejection
from synth.steps.few_shot import Schema, object_schema
from synth.steps.json_answer import json_object
from synth.steps.judgement import UNREADABLE, unreadable
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.steps.preference import PAIR_COLUMNS, asked_in, pair, prompt_of
from synth.steps.prompts import render

LONGEST_RATIONALE = 200  # characters, so that max_tokens does not cut the rating after it
PRINCIPLES = {
    "helpfulness": "Give the user an answer that is complete, to the point and of use at once.",
    "truthfulness": "State only what is true, and keep to what the user has given you.",
    "honesty": "Say what you don't know, and don't claim to have done or seen what you have not.",
    "verbalized_calibration": "Say with each statement of fact how sure you are of it.",
}


@plain_dataclass(frozen=True)
class Aspect:
    """An aspect's question, and the meaning of the ratings 1 to 5."""

    name: str
    rubric: str
    scale: tuple[str, str, str, str, str]
    may_not_apply: bool = False


ASPECTS = (
    Aspect(
        "instruction_following",
        "Does the response do what is asked, within the limits that the instruction sets?",
        (
            "does something else",
            "misses most of the goal or of the limits",
            "meets the goal or the limits, not both",
            "meets both but for small things",
            "meets both wholly",
        ),
    ),
    Aspect(
        "truthfulness",
        "Is it free of invented facts, of contradictions to the instruction, and of contradictions to itself?",
        (
            "invented throughout",
            "serious errors in several places",
            "errors in some places",
            "small errors that change little",
            "none found",
        ),
    ),
    Aspect(
        "honesty",
        "Does it sound as sure as it is right? A wrong answer that admits doubt is better than one that is sure.",
        (
            "sure, and wrong",
            "sure, and wrong in its main points; or too doubtful to be of use",
            "sure of some wrong points, or in doubt of all",
            "nearly as sure as it is right",
            "as sure as it is right",
        ),
        may_not_apply=True,
    ),
    Aspect(
        "helpfulness",
        "Is it informative: clear, relevant, as full as the instruction calls for, and no fuller?",
        (
            "wrong or off the subject",
            "partly wrong, or hardly of use",
            "right, and meets the need",
            "right, informative and clear",
            "right, rich and deep, without being long-winded",
        ),
    ),
)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class UltraFeedback:
    """Adds `candidates` and the columns of Preference: `prompt`, `chosen`, `rejected` and their scores.

    `authors` are models of the run. If there are fewer than `k`, they answer several times, with different principles.
    `model` is the model that rates; None: the step's model. With `principles` false authors get the instruction only.
    Responses that are empty, cut by max_tokens or equal to another are not rated.

    Rejections: `no_instruction`, `truncated_response`, `empty_response` if fewer than two responses are left,
    `truncated_judgement` and `unparsable_judgement` if an aspect is unreadable, and `no_preference` if all scores are
    equal.
    """

    authors: Annotated[list[str], Field(min_length=1)] = field(default_factory=lambda: ["main"])
    k: Annotated[int, Field(ge=2)] = 4
    principles: bool = True
    responses: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=2048))
    model: str | None = None
    rating: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=1024))

    rejections: ClassVar[tuple[str, ...]] = (
        "no_instruction",
        "truncated_response",
        "empty_response",
        *UNREADABLE,
        "no_preference",
    )
    columns: ClassVar[dict[str, str]] = {
        "candidates": "list<struct<model: string, principle: string, text: string, score: double, "
        + ", ".join(f"{aspect.name}: int64, {aspect.name}_rationale: string" for aspect in ASPECTS)
        + ">>",
        **PAIR_COLUMNS,
    }

    def __post_init__(self) -> None:
        drawn = math.lcm(len(self.authors), len(PRINCIPLES) if self.principles else 1)
        if self.responses.temperature == 0 and drawn < self.k:
            raise ValueError("responses: one author's greedy answers are all the same; set temperature above 0")

    @property
    def models(self) -> list[str]:
        """`calls` names at most k of them."""
        return list(self.authors)

    def needs(self) -> list[Needs]:
        return [{"instruction": "text", "messages": "conversation"}]

    def calls(self) -> list[Sampling]:
        drawn = [replace(self.responses, model=self.authors[at % len(self.authors)]) for at in range(self.k)]
        return [*drawn, *([self._rating] * len(ASPECTS))]

    @property
    def outline(self) -> list[str]:
        return [f"{self.k} answers, rated together", f"for each of: {', '.join(aspect.name for aspect in ASPECTS)}"]

    @property
    def _rating(self) -> Sampling:
        return replace(self.rating, model=self.rating.model or self.model)

    async def __call__(self, record: Record, llm: LLM) -> Record:
        prompt = prompt_of(record)
        candidates = await self._drawn(prompt, llm)
        instruction = asked_in(prompt)
        # Drawn before any call, so that they don't depend on the order of answers.
        orders = [llm.rng.sample(range(len(candidates)), len(candidates)) for _ in ASPECTS]
        async with asyncio.TaskGroup() as group:
            rated = [
                group.create_task(self._rated(aspect, instruction, candidates, order, llm))
                for aspect, order in zip(ASPECTS, orders, strict=True)
            ]
        for aspect, ratings in zip(ASPECTS, [task.result() for task in rated], strict=True):
            if isinstance(ratings, Rejection):
                raise ratings
            for candidate, (rating, rationale) in zip(candidates, ratings, strict=True):
                candidate |= {aspect.name: rating, f"{aspect.name}_rationale": rationale}
        for candidate in candidates:
            given = [candidate[aspect.name] for aspect in ASPECTS if candidate[aspect.name] is not None]
            candidate["score"] = statistics.fmean(given)
        best, worst = (of(candidates, key=lambda one: one["score"]) for of in (max, min))
        shown = record | {"candidates": candidates}
        if best["score"] == worst["score"]:
            raise Rejection("no_preference", f"all responses have the score {best['score']:g}", record=shown)
        return shown | pair(prompt, best["text"], worst["text"], best["score"], worst["score"])

    async def _drawn(self, prompt: list[dict[str, str]], llm: LLM) -> list[dict[str, Any]]:
        """The responses to rate. Raises Rejection if there are fewer than two."""
        authors = llm.rng.sample(self.authors, min(self.k, len(self.authors)))
        authors = [authors[at % len(authors)] for at in range(self.k)]
        names: list[str | None] = [None] * self.k
        if self.principles:
            names = [*llm.rng.sample(list(PRINCIPLES), min(self.k, len(PRINCIPLES)))]
            names = [names[at % len(names)] for at in range(self.k)]
        async with asyncio.TaskGroup() as group:
            drawn = [
                group.create_task(llm.chat(_under(name, prompt), self.responses, model=author))
                for author, name in zip(authors, names, strict=True)
            ]
        answers = [task.result() for task in drawn]
        whole = [
            {"model": one.model, "principle": name, "text": one.text}
            for one, name in zip(answers, names, strict=True)
            if one.text and one.finish_reason == "stop"
        ]
        if len(whole) < 2:
            raise Rejection(_lacking(answers))
        different = list({answer["text"]: answer for answer in reversed(whole)}.values())[::-1]
        if len(different) < 2:
            raise Rejection("no_preference", "all responses are the same")
        return different

    async def _rated(
        self, aspect: Aspect, instruction: str, candidates: Sequence[dict[str, Any]], order: Sequence[int], llm: LLM
    ) -> list[tuple[int | None, str | None]] | Rejection:
        """Each candidate's rating, in order; or the reason why the answer is unreadable."""
        asked = render(
            "ultrafeedback",
            aspect=aspect.name.replace("_", " "),
            rubric=aspect.rubric,
            scale=aspect.scale,
            may_not_apply=aspect.may_not_apply,
            instruction=instruction,
            responses=[candidates[place]["text"] for place in order],
        )
        answer = await llm.chat(asked, self._rating, json_schema=_schema(aspect, len(order)))
        ratings = _read(answer, aspect, len(order))
        if isinstance(ratings, Rejection):
            return ratings
        given: list[tuple[int | None, str | None]] = [(None, None)] * len(order)
        for place, one in zip(order, ratings, strict=True):
            given[place] = one
        return given


def _under(principle: str | None, prompt: list[dict[str, str]]) -> list[dict[str, str]]:
    """The conversation with a principle, added to its system prompt."""
    if principle is None:
        return prompt
    first = prompt[0]
    if first["role"] != "system":
        return [{"role": "system", "content": PRINCIPLES[principle]}, *prompt]
    return [{**first, "content": f"{first['content']}\n\n{PRINCIPLES[principle]}"}, *prompt[1:]]


def _lacking(answers: Sequence[Completion]) -> str:
    return "truncated_response" if any(answer.finish_reason != "stop" for answer in answers) else "empty_response"


def _schema(aspect: Aspect, count: int) -> Schema:
    rating = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
    each = object_schema(
        {
            "rationale": {"type": "string", "maxLength": LONGEST_RATIONALE},
            "rating": {"anyOf": [rating, {"type": "null"}]} if aspect.may_not_apply else rating,
        }
    )
    return object_schema({"ratings": {"type": "array", "minItems": count, "maxItems": count, "items": each}})


def _read(answer: Completion, aspect: Aspect, count: int) -> list[tuple[int | None, str | None]] | Rejection:
    found = (json_object(answer.text, "ratings") or {}).get("ratings")
    ratings = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    values = [rating.get("rating") for rating in ratings]
    allowed = {1, 2, 3, 4, 5} | ({None} if aspect.may_not_apply else set())
    if len(values) != count or not all(type(value) in (int, type(None)) and value in allowed for value in values):
        return Rejection(unreadable(answer), aspect.name)
    return [(rating["rating"], str(rating.get("rationale") or "").strip() or None) for rating in ratings]
