"""Draws several answers to a question, verifies each at once, and draws more if the question is hard.

Answers are drawn in waves. The first has as many as are wanted to pass; each further one as many as the pass rate so
far calls for, but never more than were drawn before. So the number of draws depends on verdicts only, and is the same
in every run with the same seed. Records don't wait for each other's waves.

An answer passes by a verifier, or by agreeing with most of the others (self-consistency, arXiv 2203.11171).
"""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.components.lists import as_list
from synth.engines import Sampling
from synth.engines.repetition import REPETITION
from synth.messages import Message, answered
from synth.records import Needs, Record, Rejection
from synth.steps.candidates import COLUMNS, Candidate, column_of
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.steps.preference import prompt_of
from synth.steps.python_tool import Question, Tool, ToolAnswer
from synth.verifiers import Verdict, Verifier, verdict_of

AGREE = 2  # answers that make a majority, at least
_CUT = {"length": "cut by max_tokens", REPETITION: "goes round in circles"}


def _verifier(given: Any) -> Any:
    return None if given is None else part(given, "verifier", Verifier)


def _tool(given: Any) -> Any:
    return None if given is None else part(given, "tool", Tool)


def _models(given: Any) -> Any:
    return [] if given is None else as_list(given)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Sample:
    """Draws up to `n` answers and adds `candidates`; with a `verifier` also `pass_rate` and `verified_answer`.

    Drawing ends when `k` have passed, or when none of `give_up` has; without these all `n` are drawn. `model` and
    `sampling` may be lists, which are used in turn. `append` is added to the user's message for the model only: rows
    don't have it. With a `tool` (synth/steps/python_tool.py) the model may use it within an answer.

    With `passes: verified` an answer passes if the verifier passes it; with `passes: majority`, if its extracted answer
    occurs more often than any other, and at least twice. A majority needs a verifier that extracts, which is used for
    that only. If several occur equally often, `ties` rejects the record as `no_majority`, or takes the `first` that was
    drawn. If nothing can be extracted from any answer: `none_extracted`.

    An answer that is empty or cut by max_tokens fails without verification. `pass_rate` is the share of passed answers
    among those that passed or failed, null if there are none. `verified_answer` is the extracted answer of the first
    that passed. Also: `no_instruction`.

    Raises ValueError for contradictory bounds.
    """

    n: Annotated[int, Field(ge=1)] = 16
    k: Annotated[int, Field(ge=1)] | None = None
    give_up: Annotated[int, Field(ge=1)] | None = None
    model: Annotated[list[str], BeforeValidator(_models)] = field(default_factory=list)
    sampling: Annotated[list[Sampling], Field(min_length=1), BeforeValidator(as_list)] = field(
        default_factory=lambda: [Sampling(temperature=0.7, max_tokens=2048)]
    )
    append: str | None = None
    tool: Annotated[Any, BeforeValidator(_tool)] = None
    verifier: Annotated[Any, BeforeValidator(_verifier)] = None
    passes: Literal["verified", "majority"] = "verified"
    ties: Literal["reject", "first"] = "reject"

    def __post_init__(self) -> None:
        for name in ("k", "give_up"):
            bound = getattr(self, name)
            if bound is not None and bound > self.n:
                raise ValueError(f"{name}: is {bound}, above n={self.n}")
            if bound is not None and self.verifier is None:
                raise ValueError(f"{name}: needs a verifier, since no answer passes without; give one, or leave it out")
        if self.passes == "majority":
            if self.verifier is None:
                raise ValueError("passes: majority compares extracted answers; give a verifier that extracts them")
            if not callable(getattr(self.verifier, "extracted", None)):
                name = type(self.verifier).__name__
                raise ValueError(f"passes: majority compares extracted answers, and {name} has no extracted(record)")
            for name in ("n", "k"):
                bound = getattr(self, name)
                if bound is not None and bound < AGREE:
                    raise ValueError(f"{name}: is {bound}, and a majority needs {AGREE} answers that agree")
        if self.tool is not None and any(one.thinking_tokens is not None for one in self.sampling):
            raise ValueError("sampling: thinking_tokens would end reasoning at a tool's output; leave it out")
        turns = math.lcm(len(self.sampling), len(self.model) or 1)
        if any(self._sampling(index).temperature == 0 for index in range(min(turns, self.n - turns))):
            raise ValueError("sampling: greedy answers of a model are all the same; set temperature above 0")

    @property
    def columns(self) -> dict[str, str]:
        return COLUMNS | ({"pass_rate": "double", "verified_answer": "string"} if self.verifier else {})

    @property
    def rejections(self) -> tuple[str, ...]:
        return ("no_instruction", *(("no_majority", "none_extracted") if self.passes == "majority" else ()))

    @property
    def models(self) -> list[str]:
        return list(self.model)

    def needs(self) -> list[Needs]:
        verified = self.verifier.needs() if self.verifier and self.passes == "verified" else []
        return [{"instruction": "text", "messages": "conversation"}, *verified]

    def calls(self) -> list[Sampling]:
        times = self.tool.rounds + 1 if self.tool else 1
        return [self._sampling(index) for index in range(self.n) for _ in range(times)]

    @property
    def outline(self) -> list[str]:
        until = f", until {self.k} pass" if self.k else ""
        tool = [f"each: up to {self.tool.rounds} rounds with the tool"] if self.tool else []
        return [f"up to {self.n} answers{until}", *tool]

    def _sampling(self, index: int) -> Sampling:
        sampling = self.sampling[index % len(self.sampling)]
        return replace(sampling, model=self.model[index % len(self.model)]) if self.model else sampling

    async def __call__(self, record: Record, llm: LLM) -> Record:
        prompt = prompt_of(record)
        asked = prompt
        if self.append:
            asked = [*prompt[:-1], {**prompt[-1], "content": f"{prompt[-1]['content']}\n\n{self.append}"}]
        drawn: list[Candidate | Rejection] = []
        while wave := self._wave(len(drawn), self._passed(drawn)):
            draws = range(len(drawn), len(drawn) + wave)
            if self.tool is None:
                work = [self._drawn(record, prompt, asked, index, llm) for index in draws]
            else:
                questions = [Question(asked, self._sampling(index)) for index in draws]
                work = [self._judged(record, prompt, one) for one in await self.tool.answer(questions, llm)]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one) for one in work]
            drawn += [task.result() for task in tasks]
            refused = [answer for answer in drawn if isinstance(answer, Rejection)]
            if len(refused) == len(drawn):
                raise refused[0]
        candidates = [_nobodys(answer) if isinstance(answer, Rejection) else answer for answer in drawn]
        return self._decided(record, candidates)

    def _wave(self, drawn: int, passed: int) -> int:
        """The size of the next wave; 0 at the end."""
        left = self.n - drawn
        if self.give_up is not None and not passed:
            left = min(left, self.give_up - drawn)
        if self.k is None:
            return left
        if not drawn:
            return min(self.k, left)
        missing = max(0, self.k - passed)
        called_for = math.ceil(missing * drawn / passed) if passed else drawn
        return min(called_for, drawn, left)

    async def _drawn(
        self, record: Record, prompt: list[Message], asked: list[Message], index: int, llm: LLM
    ) -> Candidate | Rejection:
        """A Rejection is for this answer only: a server may withhold one, and give others."""
        try:
            answer = await llm.chat(asked, self._sampling(index))
        except Rejection as why:
            return why
        return await self._judged(record, prompt, answer)

    async def _judged(
        self, record: Record, prompt: list[Message], given: Completion | ToolAnswer | Rejection
    ) -> Candidate | Rejection:
        if isinstance(given, Rejection):
            return given
        answer, runs = given if isinstance(given, ToolAnswer) else (given, None)
        found = Candidate(answer.model, answer.text, answer.finish_reason, len(answer.token_ids) or None, runs=runs)
        if self.verifier is None:
            return found
        unused = self.tool is not None and self.tool.required and not runs
        if not found.is_whole or unused:
            why = _CUT.get(answer.finish_reason, "without its tool" if found.text else "empty")
            return found.under(Verdict("failed", 0.0, why)) if self.passes == "verified" else found
        written = answered(record, prompt, answer.text) | {"finish_reason": answer.finish_reason}
        extract = getattr(self.verifier, "extracted", None)
        if self.passes == "majority":
            return found._replace(answer=extract(written) if extract else None)
        verdict = await verdict_of(self.verifier, written)
        known = extract(written) if extract and verdict.verdict in ("passed", "failed") else None
        return found.under(verdict)._replace(answer=known)

    def _passed(self, drawn: Sequence[Candidate | Rejection]) -> int:
        candidates = [answer for answer in drawn if isinstance(answer, Candidate)]
        if self.passes == "verified":
            return sum(candidate.verdict == "passed" for candidate in candidates)
        leaders, votes = _most_given(candidates)
        return votes if len(leaders) == 1 and votes >= AGREE else 0

    def _decided(self, record: Record, candidates: list[Candidate]) -> Record:
        if self.passes == "majority":
            leaders, votes = _most_given(candidates)
            if not leaders:
                raise Rejection("none_extracted", f"from {len(candidates)} answers", record | column_of(candidates))
            if votes < AGREE or (len(leaders) > 1 and self.ties == "reject"):
                detail = f"{len(leaders)} different answers, each given {votes} times"
                raise Rejection("no_majority", detail, record | column_of(candidates))
            candidates = [_voted(candidate, leaders[0]) for candidate in candidates]
        made = record | column_of(candidates)
        if self.verifier is None:
            return made
        passed = [candidate for candidate in candidates if candidate.verdict == "passed"]
        known = [candidate for candidate in candidates if candidate.verdict in ("passed", "failed")]
        return made | {
            "pass_rate": len(passed) / len(known) if known else None,
            "verified_answer": next((candidate.answer for candidate in passed if candidate.answer is not None), None),
        }


def _most_given(candidates: Sequence[Candidate]) -> tuple[list[str], int]:
    """The most frequent extracted answers, in the order of their draws, and their count."""
    votes = Counter(candidate.answer for candidate in candidates if candidate.answer is not None)
    most = max(votes.values(), default=0)
    return [answer for answer, count in votes.items() if count == most], most


def _voted(candidate: Candidate, majority: str) -> Candidate:
    """Without a verdict if the server withheld the answer."""
    if candidate.finish_reason is None:
        return candidate
    agrees = candidate.answer == majority
    return candidate.under(Verdict("passed" if agrees else "failed", float(agrees)))


def _nobodys(why: Rejection) -> Candidate:
    """The candidate for an answer that was not given."""
    nothing = Candidate(None, "", None, None)
    return nothing.under(Verdict("error", 0.0, f"{why.reason}: {why.detail}" if why.detail else why.reason))
