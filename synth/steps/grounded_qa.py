"""Questions about passages, and answers from them: the first two steps of grounded_qa.

A record is a passage in the column `context`, such as one of a document (synth/sources/documents), and `related`, a
second one, for questions that need both. The checks of question and answer are in grounded_checks.py.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Needs, Record, Rejection, text_of
from synth.steps import grounded_examples, prompts
from synth.steps import self_instruct_parsing as parsing
from synth.steps.copies import is_copy
from synth.steps.few_shot import Message, few_shot, object_schema
from synth.steps.json_answer import json_object
from synth.steps.llm import LLM, Branch

TWO = "multi_hop"  # the kind that is asked about two passages
KINDS = {
    "factual": "It asks for a fact: a name, a number, a time or a place.",
    "reason": "It asks why or how something comes about.",
    "procedure": "It asks how something is done, step by step.",
    "comparison": "It asks to compare two things.",
    "summary": "It asks for a summary of one matter.",
    TWO: "To answer it, one needs a fact of the first passage and a fact of the second one.",
}
_NO_ANSWER = re.compile(
    r"^\W*no answer\b|\b(?:answer|information) is not (?:given|stated|said|mentioned|provided|available)\b",
    re.IGNORECASE,
)
_OF_PASSAGE = re.compile(
    r"\b(?:(?:the|this|that|these|both|above|given|provided|following|first|second) (?:passages?|excerpts?|texts?|"
    r"paragraphs?|extracts?|snippets?)|(?:according to|mentioned in|described in|stated in|in) (?:the|this) "
    r"(?:text|article|document|section|context))\b",
    re.IGNORECASE,
)
_SHOWN_ANSWERS = [example.answer for example in grounded_examples.ANSWERS if not _NO_ANSWER.search(example.answer)]
_ASKS = re.compile("[?？؟;՞]")
_SCHEMA = object_schema({"question": {"type": "string", "minLength": 1}})


def _asks(given: Any) -> Any:
    """{name: what it asks for}, null for the shipped text; also a list of shipped names."""
    if isinstance(given, list | tuple):
        given = dict.fromkeys(given)
    if not isinstance(given, Mapping):
        return given
    if unknown := [name for name, text in given.items() if text is None and name not in KINDS]:
        raise ValueError(f"{unknown[0]}: say what it asks for; shipped kinds are {', '.join(KINDS)}")
    return {name: KINDS[name] if text is None else text for name, text in given.items()}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class GroundedQuestions:
    """Asks for `questions` questions about a passage, each of another one of the `kinds` as long as there are others.

    `kinds` are names with what a question of the kind asks for, null for the shipped text. `multi_hop` is for records
    with a second passage in the column `related` only. Each question is a record, with the columns `question` and
    `question_kind`; `related` is null in those of the other kinds.

    Rejections: `no_context`, and of single questions `no_question`, `truncated_question`, `repeated_question`,
    `mentions_passage`, `copies_context` and `copies_prompt`.
    """

    questions: Annotated[int, Field(ge=1)] = 3
    kinds: Annotated[dict[str, str], BeforeValidator(_asks), Field(min_length=1)] = field(
        default_factory=lambda: dict(KINDS)
    )
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=128))

    columns: ClassVar[dict[str, str]] = {"question": "string", "question_kind": "string"}
    rejections: ClassVar[tuple[str, ...]] = (
        "no_context",
        "no_question",
        "truncated_question",
        "repeated_question",
        "mentions_passage",
        "copies_context",
        "copies_prompt",
    )

    @property
    def num_outputs(self) -> int:
        return self.questions

    def needs(self) -> list[Needs]:
        return [{"context": "text"}]

    def calls(self) -> list[Sampling]:
        return [self.sampling] * self.questions

    async def __call__(self, record: Record, llm: LLM) -> list[Branch]:
        if not text_of(record, "context"):
            raise Rejection("no_context")
        async with asyncio.TaskGroup() as group:
            asked = [(kind, group.create_task(self._question(kind, record, llm))) for kind in self._drawn(record, llm)]
        seen: set[str] = set()
        branches = []
        for kind, task in asked:
            question, reason = task.result()
            made: Record = {"question": question, "question_kind": kind, "instruction": question}
            made |= {"finish_reason": "stop"}
            if kind != TWO:
                made["related"] = None
            if reason is None and question.casefold() in seen:
                reason = "repeated_question"
            seen.add(question.casefold())
            branches.append(llm.branch(record | made if reason is None else Rejection(reason, question, record=made)))
        return branches

    def _drawn(self, record: Record, llm: LLM) -> list[str]:
        fit = [kind for kind in self.kinds if kind != TWO or text_of(record, "related")]
        if not fit:
            raise Rejection("no_context", "questions of the kind multi_hop need a column 'related'")
        drawn: list[str] = []
        while len(drawn) < self.questions:
            drawn += llm.rng.sample(fit, min(len(fit), self.questions - len(drawn)))
        return drawn

    async def _question(self, kind: str, record: Record, llm: LLM) -> tuple[str, str | None]:
        """A question, and the reason why it is rejected."""
        two = kind == TWO
        request = _question_request(passages(record, two), self.kinds[kind], two)
        example = grounded_examples.QUESTIONS.get(kind)
        shown = passages({"context": grounded_examples.MILL, "related": grounded_examples.WHEEL}, two)
        examples = [(_question_request(shown, self.kinds[kind], two), {"question": example})] if example else []
        answer = await llm.chat(few_shot(examples, request), self.sampling, json_schema=_SCHEMA)
        found = (json_object(answer.text, "question") or {}).get("question")
        if not isinstance(found, str) or not found.strip():
            items = parsing.items(answer.text, answer.finish_reason != "stop") if "{" not in answer.text else []
            if not items:
                return "", "truncated_question" if answer.finish_reason != "stop" else "no_question"
            found = items[0]
        question = " ".join(found.split())
        contexts = [record["context"], *([record["related"]] if two else [])]
        reasons = {
            "mentions_passage": _OF_PASSAGE.search(question),
            "copies_context": is_copy(question, contexts),
            "copies_prompt": is_copy(question, [*([example] if example else []), request])
            or _is_of_examples(question, contexts),
            "no_question": kind in KINDS and kind != "summary" and not _ASKS.search(question),
        }
        return question, next((reason for reason, holds in reasons.items() if holds), None)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class GroundedAnswer:
    """Answers the `question` of a record from its passage, or its two.

    With `with_passage`, the instruction of the row is the passages and then the question, for training models that
    read; else it is the question alone.

    Rejections: `no_question`, `no_context`, `empty_response`, `truncated_response`, `unanswerable` (the model says so),
    `mentions_passage` and `copies_prompt`.
    """

    with_passage: bool = False
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=512))

    columns: ClassVar[dict[str, str]] = {}
    rejections: ClassVar[tuple[str, ...]] = (
        "no_question",
        "no_context",
        "empty_response",
        "truncated_response",
        "unanswerable",
        "mentions_passage",
        "copies_prompt",
    )

    def needs(self) -> list[Needs]:
        return [{"question": "text"}, {"context": "text"}]

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        question = text_of(record, "question")
        if not question or not text_of(record, "context"):
            raise Rejection("no_context" if question else "no_question")
        shown = passages(record)
        answer = await llm.chat(_answer_messages(shown, question), self.sampling)
        response = answer.text.strip()
        instruction = f"{shown}\n\n{question}" if self.with_passage else question
        made = record | {"instruction": instruction, "response": response, "finish_reason": answer.finish_reason}
        reasons = {
            "truncated_response": answer.finish_reason != "stop",
            "empty_response": not response,
            "mentions_passage": not self.with_passage and _OF_PASSAGE.search(response),
            "copies_prompt": is_copy(response, _SHOWN_ANSWERS)
            or _is_of_examples(response, [shown, question])
            or "\nQuestion:" in response,
            "unanswerable": _NO_ANSWER.search(response),
        }
        for reason, holds in reasons.items():
            if holds:
                raise Rejection(reason, record=made)
        return made


def passages(record: Record, two: bool = True) -> str:
    """The passages of a record as prompts show them, with the document and the headings."""
    title, headings = text_of(record, "title") or "", text_of(record, "headings") or ""
    place = " > ".join(one for one in (title, headings.removeprefix(title).lstrip("> ")) if one)
    related = (text_of(record, "related") or "") if two else ""
    return prompts.render("passages", place=place, passage=record["context"].strip("\n"), related=related.strip("\n"))


def _is_of_examples(text: str, given: Sequence[str]) -> bool:
    """Whether a text speaks of what only the prompt's examples speak of."""
    known = "\n".join(given).casefold()
    return any(name in text.casefold() and name not in known for name in grounded_examples.NAMES)


def _question_request(shown: str, ask: str, two: bool) -> str:
    return prompts.render("grounded_question", passages=shown, ask=ask, two=two)


def _answer_messages(shown: str, question: str) -> list[Message]:
    example = passages({"context": grounded_examples.MILL})
    examples = [
        (prompts.render("grounded_answer", passages=example, question=one.question), one.answer)
        for one in grounded_examples.ANSWERS
    ]
    return few_shot(examples, prompts.render("grounded_answer", passages=shown, question=question))
