"""Preference pairs: ranks several responses to an instruction and pairs the best with the worst.

Columns `prompt`, `chosen` and `rejected` are conversations, as TRL's DPOTrainer reads them: all messages up to the
user's turn, and one assistant's message each. Responses are ranked by a judge (synth/steps/judge.py) or a reward model
(synth/quality/reward.py).
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.engines import Sampling, Task
from synth.messages import first_turn, messages_of, to_answer
from synth.quality.reward import Messages, pooling_of, reward_model, scored
from synth.records import Needs, Record, Rejection
from synth.steps.judge import Judge
from synth.steps.judgement import UNREADABLE
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.template import unfilled

PAIR_COLUMNS = {
    "prompt": "messages",
    "chosen": "messages",
    "rejected": "messages",
    "chosen_score": "double",
    "rejected_score": "double",
}


def _reward_model(given: Any) -> Any:
    return None if given is None else reward_model(given, "reward_model")


GivenRewardModel = Annotated[Any, BeforeValidator(_reward_model)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Preference:
    """Draws `k` responses and adds `prompt`, `chosen`, `rejected`, `chosen_score` and `rejected_score`.

    `responses` is a sampling, or a list of samplings to use in turn. The chosen response becomes the record's response.
    Responses that are empty, cut by max_tokens, equal to another or impossible to score are not ranked.

    If all scores are equal, `ties` rejects the record as `no_preference`, or keeps it with two of the responses. If
    fewer than two are left: `no_preference` if all were equal, else the reason of the others: `truncated_response`,
    `empty_response`, or the judge's reason. Also: `no_instruction`.
    """

    k: Annotated[int, Field(ge=2)] = 4
    responses: Annotated[list[Sampling], Field(min_length=1), BeforeValidator(as_list)] = field(
        default_factory=lambda: [Sampling(temperature=0.7, max_tokens=2048)]
    )
    judge: Judge = field(default_factory=Judge)
    reward_model: GivenRewardModel = None
    ties: Literal["reject", "keep"] = "reject"

    columns: ClassVar[dict[str, str]] = PAIR_COLUMNS

    def __post_init__(self) -> None:
        if len(self.responses) == 1 and self.responses[0].temperature == 0:
            raise ValueError("responses: greedy responses are all the same; set temperature above 0")

    @property
    def rejections(self) -> tuple[str, ...]:
        of_answers = ("no_instruction", "truncated_response", "empty_response", "no_preference")
        if self.reward_model is not None:
            return (*of_answers, "no_score")
        unread = unfilled(self.judge.prompt, *self.judge.criteria)
        return (*of_answers, *UNREADABLE, *unread)

    def needs(self) -> list[Needs]:
        return [{"instruction": "text", "messages": "conversation"}]

    def calls(self) -> list[Sampling]:
        judged = [] if self.reward_model is not None else self.judge.calls() * self.k
        return [self._sampling(index) for index in range(self.k)] + judged

    @property
    def outline(self) -> list[str]:
        return [f"{self.k} answers, each with a score"]

    @property
    def pooling(self) -> dict[str, Task]:
        return pooling_of(self.reward_model)

    async def __call__(self, record: Record, llm: LLM) -> Record:
        prompt = prompt_of(record)
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(llm.chat(prompt, self._sampling(index))) for index in range(self.k)]
        drawn = [answer.result() for answer in answers]
        try:
            candidates = _distinct(drawn)
        except Rejection:
            _note([("cut" if answer.finish_reason != "stop" else "not ranked", answer) for answer in drawn], llm)
            raise
        async with asyncio.TaskGroup() as group:
            scores = [
                group.create_task(rated(record, prompt, candidate.text, self.judge, self.reward_model, llm))
                for candidate in candidates
            ]
        ranked = [(score.result(), one) for score, one in zip(scores, candidates, strict=True)]
        scored = [(score, one) for score, one in ranked if isinstance(score, float)]
        if len(scored) < 2:
            _note(ranked, llm)
            raise next(score for score, _ in ranked if isinstance(score, Rejection))
        # Of equal scores the first drawn is chosen and the last drawn rejected, so that a tie gives two responses.
        best, chosen = max(scored, key=lambda pair: pair[0])
        worst, rejected = min(reversed(scored), key=lambda pair: pair[0])
        if best == worst and self.ties == "reject":
            _note(ranked, llm)
            raise Rejection("no_preference", f"all ranked responses have the score {best:g}")
        _note([(score, one) for score, one in ranked if isinstance(score, Rejection)], llm)
        return record | pair(prompt, chosen.text, rejected.text, best, worst)

    def _sampling(self, index: int) -> Sampling:
        return self.responses[index % len(self.responses)]


async def rated(
    record: Record, prompt: Messages, response: str, judge: Judge, reward_model: Any, llm: LLM
) -> float | Rejection:
    """The score of a response by the reward model, or without one by the judge; or the reason why there is none."""
    if reward_model is None:
        turn = {"instruction": asked_in(prompt), "response": response}
        verdict = await judge.verdict(record | turn, llm)
        return Rejection(str(verdict.failure)) if verdict.score is None else verdict.score
    conversation = [*prompt, {"role": "assistant", "content": response}]
    value = float(await scored(reward_model, conversation, llm))
    return value if math.isfinite(value) else Rejection("no_score", f"the reward model gave {value}")


def asked_in(prompt: Messages) -> str:
    """The user's last message."""
    return next(turn["content"] for turn in reversed(prompt) if turn["role"] == "user")


def pair(prompt: Messages, chosen: str, rejected: str, best: float, worst: float) -> Record:
    """PAIR_COLUMNS for two complete responses; the chosen one is the record's response."""
    answered = [{"role": "assistant", "content": chosen}]
    return {
        "messages": prompt + answered,
        "response": first_turn(prompt + answered)["response"],
        "finish_reason": "stop",
        "prompt": prompt,
        "chosen": answered,
        "rejected": [{"role": "assistant", "content": rejected}],
        "chosen_score": best,
        "rejected_score": worst,
    }


def _note(candidates: Sequence[tuple[float | Rejection | str, Completion]], llm: LLM) -> None:
    """Keep the other responses in the lineage, each with its score or the reason why it has none."""
    for fate, one in candidates:
        outcome = f"{fate:g}" if isinstance(fate, float) else fate.reason if isinstance(fate, Rejection) else fate
        llm.note(one.text, f"candidate: {outcome}")


def prompt_of(record: Record) -> Messages:
    """The conversation up to its last user's turn. Raises Rejection if there is none."""
    turns: Messages = messages_of(record)
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    return to_answer(record | {"messages": turns})


def _distinct(answers: list[Completion]) -> list[Completion]:
    """The responses to rank. Raises Rejection if there are fewer than two."""
    whole = {answer.text: answer for answer in reversed(answers) if answer.text and answer.finish_reason == "stop"}
    if len(whole) < 2:
        if any(answer.finish_reason != "stop" for answer in answers):
            raise Rejection("truncated_response")
        if not all(answer.text for answer in answers):
            raise Rejection("empty_response")
        raise Rejection("no_preference", f"all {len(answers)} responses are the same")
    return list(reversed(whole.values()))
