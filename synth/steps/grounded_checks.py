"""Checks of a question and its answer from a passage, by a judge: does the answer stand there, and was it needed?"""

from collections.abc import Sequence
from dataclasses import field
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Needs, Record, Rejection, text_of
from synth.steps import grounded_examples, prompts
from synth.steps.grounded_qa import passages
from synth.steps.llm import LLM
from synth.steps.verdict import YesNo

_READ: list[Needs] = [{"question": "text"}, {"response": "text"}]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Grounded:
    """Keeps an answer that a judge finds in the passage, with its reason in the column `grounded_reason`.

    A question over two passages (`related`) must need both: it is rejected if the judge finds the answer in one.

    Rejections: `not_grounded`, `one_passage_suffices`, `truncated_judgement`, `unparsable_judgement`; `no_context`,
    `no_question`, `no_response`.
    """

    judge: YesNo = field(default_factory=YesNo)

    columns: ClassVar[dict[str, str]] = {"grounded_reason": "string"}
    rejections: ClassVar[tuple[str, ...]] = (
        "not_grounded",
        "one_passage_suffices",
        *YesNo.rejections,
        "no_context",
        "no_question",
        "no_response",
    )

    def needs(self) -> list[Needs]:
        return [{"context": "text"}, *_READ]

    def calls(self) -> list[Sampling]:
        return [self.judge.call] * 3

    async def __call__(self, record: Record, llm: LLM) -> Record:
        _refuse_missing(record, "context", "question", "response")
        verdict = await self._found(record, llm)
        judged = record | {"grounded_reason": verdict.reason}
        if not verdict.yes:
            raise Rejection("not_grounded", verdict.reason, record=judged)
        if text_of(record, "related"):
            for one in (record["context"], record["related"]):
                alone = await self._found(record | {"context": one, "related": None}, llm)
                if alone.yes:
                    raise Rejection("one_passage_suffices", alone.reason, record=judged)
        return judged

    async def _found(self, record: Record, llm: LLM) -> Any:
        given = {"question": record["question"], "answer": record["response"]}
        request = _check(passages(record), two=bool(text_of(record, "related")), **given)
        return await self.judge.ask(_CHECKS, request, llm)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class NeedsPassage:
    """Keeps a question that the model answers otherwise, or not, without the passage, by a judge who compares both
    answers. The answer without it is in the column `closed_book`.

    Rejections: `needs_no_passage`, `truncated_judgement`, `unparsable_judgement`; `no_question`, `no_response`.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=256))
    judge: YesNo = field(default_factory=YesNo)

    columns: ClassVar[dict[str, str]] = {"closed_book": "string"}
    rejections: ClassVar[tuple[str, ...]] = ("needs_no_passage", *YesNo.rejections, "no_question", "no_response")

    def needs(self) -> list[Needs]:
        return _READ

    def calls(self) -> list[Sampling]:
        return [self.sampling, self.judge.call]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        _refuse_missing(record, "question", "response")
        given = (await llm.chat(record["question"], self.sampling)).text.strip()
        judged = record | {"closed_book": given}
        if not given:
            return judged
        request = prompts.render("grounded_same", question=record["question"], answer=record["response"], given=given)
        verdict = await self.judge.ask(_SAME, request, llm)
        if verdict.yes:
            raise Rejection("needs_no_passage", verdict.reason, record=judged)
        return judged


def _refuse_missing(record: Record, *names: str) -> None:
    for name in names:
        if not text_of(record, name):
            raise Rejection(f"no_{name}")


def _check(shown: str, *, question: str, answer: str, two: bool) -> str:
    return prompts.render("grounded_check", passages=shown, question=question, answer=answer, two=two)


def _answered(one: grounded_examples.Verdict) -> dict[str, str]:
    return {"reason": one.reason, "verdict": one.verdict}


_MILL = passages({"context": grounded_examples.MILL})
_CHECKS: Sequence[tuple[str, Any]] = [
    (_check(_MILL, question=example.question, answer=example.answer, two=False), _answered(example))
    for example in grounded_examples.CHECKS
]
_SAME: Sequence[tuple[str, Any]] = [
    (
        prompts.render("grounded_same", question=example.question, answer=example.answer, given=example.given),
        _answered(example),
    )
    for example in grounded_examples.SAME
]
