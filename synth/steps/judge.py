"""LLM-as-a-judge (arXiv 2306.05685, section 3.1, single-answer grading): the model scores a response from 1 to 5.

The answer is constrained to a JSON schema if the engine supports it; otherwise JSON is searched in the text.
"""

import asyncio
import re
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.engines import Sampling
from synth.paths import expanded
from synth.records import Needs, Record, Rejection, text_of
from synth.steps.few_shot import Message, few_shot
from synth.steps.json_answer import json_object
from synth.steps.judge_examples import EXAMPLES
from synth.steps.judgement import UNREADABLE, Unreadable, judgement_schema, reason_of, unreadable
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.steps.prompts import render
from synth.template import Template, fill, filled, needed, unfilled

SCALE = (1, 2, 3, 4, 5)
SCHEMA = judgement_schema("score", {"type": "integer", "enum": list(SCALE)})
# Placeholders for a reason in a prompt: the words at its place, and what people put in brackets.
_EXAMPLE = re.compile(r'"reason"\s*:\s*"([^"\n]*)"')
_PLACEHOLDER = re.compile(r"[.…\s]*|<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}")
_ECHO = 6  # consecutive words of the prompt, and no others; fewer may be a label of the scale
_FILES = (".jinja", ".jinja2", ".j2", ".txt")


@plain_dataclass(frozen=True, slots=True)
class Verdict:
    """A score, the mean of all readable votes, and the first one's reason; or the reason why there is none."""

    score: float | None
    reason: str | None
    failure: Unreadable | None = None


def _from_file(given: Any) -> Any:
    """The content of a file, if a file is named."""
    if not isinstance(given, str) or "\n" in given or not given.endswith(_FILES):
        return given
    try:
        return Path(expanded(given)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{given!r} can't be read ({getattr(error, 'strerror', None) or error})") from None


def _as_list(given: Any) -> Any:
    return [] if given is None else as_list(given)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Judge:
    """Adds `judge_score` and `judge_reason` to a record with an instruction and a response.

    `prompt` is a Jinja text, or the name of a file with one, over the record's columns and `criteria`, which are
    templates over the columns too; null is the shipped prompt, preceded by the criteria. It should ask for JSON with
    `reason` and then `score`, 1 to 5. With several `votes` the score is their mean, a fraction.

    A score below `min_score` rejects the record as `low_score`. An unreadable judgement is `truncated_judgement` if
    max_tokens cut it, else `unparsable_judgement`: `on_failure` rejects the record for it, or keeps it with a null
    score and that word as its reason. Also: `no_instruction`, `no_response`, if the record has none and the shipped
    prompt is used; `missing_column` and `template_failed` of templates.

    `model` is the model of the run that judges; None: the step's model.
    """

    model: str | None = None
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=256))
    prompt: Annotated[Template | None, BeforeValidator(_from_file)] = None
    criteria: Annotated[list[Template], BeforeValidator(_as_list)] = field(default_factory=list)
    votes: Annotated[int, Field(ge=1)] = 1
    min_score: Annotated[float, Field(ge=SCALE[0], le=SCALE[-1])] | None = None
    on_failure: Literal["reject", "keep"] = "reject"

    schema: ClassVar[dict[str, Any]] = SCHEMA

    def __post_init__(self) -> None:
        if self.votes > 1 and self.sampling.temperature == 0:
            raise ValueError("votes: greedy votes are all the same; set sampling.temperature above 0")

    @property
    def rejections(self) -> tuple[str, ...]:
        reasons = ("low_score", *UNREADABLE, "no_instruction", "no_response")
        return (*reasons, *unfilled(self.prompt, *self.criteria))

    @property
    def columns(self) -> dict[str, str]:
        return {"judge_score": "int64" if self.votes == 1 else "double", "judge_reason": "string"}

    def needs(self) -> list[Needs]:
        of_criteria = {name for criterion in self.criteria for name in needed(criterion)}
        if self.prompt is None:
            further = sorted(of_criteria - {"instruction", "response"})
            return [{"instruction": "text"}, {"response": "text"}, *((name,) for name in further)]
        return [(name,) for name in sorted((needed(self.prompt) | of_criteria) - {"criteria"})]

    def calls(self) -> list[Sampling]:
        return [self._sampling] * self.votes

    @property
    def outline(self) -> list[str]:
        votes = [f"{self.votes} votes, their mean"] if self.votes > 1 else []
        return [*votes, *([f"rejects a score below {self.min_score:g}"] if self.min_score is not None else [])]

    @property
    def _sampling(self) -> Sampling:
        return replace(self.sampling, model=self.sampling.model or self.model)

    async def __call__(self, record: Record, llm: LLM) -> Record:
        verdict = await self.verdict(record, llm)
        judged = record | {"judge_score": verdict.score, "judge_reason": verdict.reason or verdict.failure}
        if verdict.score is None:
            if self.on_failure == "reject":
                raise Rejection(str(verdict.failure), verdict.reason or "", record=judged | {"judge_reason": None})
            return judged
        if self.votes == 1:
            judged["judge_score"] = int(verdict.score)
        if self.min_score is not None and verdict.score < self.min_score:
            raise Rejection("low_score", f"{verdict.score:g}: {verdict.reason or ''}", record=judged)
        return judged

    async def verdict(self, record: Record, llm: LLM) -> Verdict:
        """The judgement of a record's response. Raises Rejection if there is nothing to judge."""
        asked = self._asked(record)
        async with asyncio.TaskGroup() as group:
            votes = [
                group.create_task(llm.chat(asked, self._sampling, json_schema=self.schema)) for _ in range(self.votes)
            ]
        template = self.prompt or _SHOWN
        verdicts = [_read(vote.result(), template) for vote in votes]
        read = [(verdict.score, verdict.reason) for verdict in verdicts if verdict.score is not None]
        if not read:
            return verdicts[0]
        return Verdict(sum(score for score, _ in read) / len(read), read[0][1])

    def _asked(self, record: Record) -> list[Message]:
        criteria = [filled(criterion, record) for criterion in self.criteria]
        if self.prompt is not None:
            return few_shot((), fill(self.prompt, record | {"criteria": criteria}))
        for name in ("instruction", "response"):
            if not text_of(record, name):
                raise Rejection(f"no_{name}")
        asked = render("judge", instruction=record["instruction"], response=record["response"])
        listed = "\n".join(f"- {criterion}" for criterion in criteria)
        asked = f"What counts:\n{listed}\n\n{asked}" if listed else asked
        return few_shot(_EXAMPLES, asked)


_EXAMPLES = [
    (
        render("judge", instruction=example.instruction, response=example.response),
        {"reason": example.reason, "score": example.score},
    )
    for example in EXAMPLES
]
# Text that a reason may be an echo of.
_SHOWN = "\n\n".join(turn["content"] for turn in few_shot(_EXAMPLES, "")[:-1])


def _read(answer: Completion, template: str) -> Verdict:
    found = json_object(answer.text, "score") or {}
    score = _score(found.get("score"))
    if score is not None and not _is_echo(found, template):
        return Verdict(score, reason_of(found) or None)
    return Verdict(None, None, unreadable(answer))


def _is_echo(found: dict[str, Any], template: str) -> bool:
    """Whether a judgement is the prompt's own example, or its reason consists of words of the prompt."""
    reason = found.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        return found == json_object(template, "score")
    examples = {words.strip(" .").casefold() for words in _EXAMPLE.findall(template)}
    if reason.strip(" .").casefold() in examples or _PLACEHOLDER.fullmatch(reason.strip()):
        return True
    words = _words(reason)
    return len(words) >= _ECHO and f" {' '.join(words)} " in f" {' '.join(_words(template))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _score(value: Any) -> float | None:
    """A score on the scale from `4`, `4.0`, `"4"` or `"4/5"`; None for any other value."""
    if isinstance(value, str):
        value = value.strip().removesuffix(f"/{SCALE[-1]}").strip()
        value = int(value) if value in map(str, SCALE) else None
    return float(value) if not isinstance(value, bool) and value in SCALE else None
