"""Text generation from a prompt template over a record's columns: one call, or several samples.

The template comes from the configuration and runs in a sandbox; text in a column is never run as a template. If the
output is the `instruction`, a step that answers it may follow: prompt → instruction → response.
"""

import asyncio
from dataclasses import field
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.engines.repetition import REPETITION
from synth.records import Needs, Record, Rejection, rejected_schema
from synth.steps.copies import is_copy
from synth.steps.few_shot import few_shot
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.template import Template, fill, needed

_TEXTS = ("instruction", "response", "system_prompt")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TextGeneration:
    """Calls the model with `template`, rendered with the record's columns, and writes the answer to column `output`.

    `system_prompt` is a template too; null takes the column of that name if there is one, an empty string none.
    `samples` answers make as many records (ids 17/0, 17/1, …), each with its own seed.

    `examples` are records with the columns of the template and `output`: each is shown as an earlier turn, the rendered
    template and its answer (few-shot).

    If `output` is `response`, the prompt becomes the `instruction`, and the system prompt is kept; else only the
    lineage has the prompt. A response that max_tokens cut is kept, with finish_reason `length`.

    Rejections: `missing_column` (missing, or null and printed by the template), `template_failed`, `empty_prompt`; for
    single samples `empty_OUTPUT`, `repetition`, `copies_prompt` (an example's answer, or an instruction that repeats
    the template's words), and `truncated_OUTPUT` for an instruction or system prompt.
    """

    template: Template
    system_prompt: Template | None = None
    output: str = "response"
    examples: list[dict[str, Any]] = field(default_factory=list)
    samples: Annotated[int, Field(ge=1)] = 1
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7))

    def __post_init__(self) -> None:
        if self.output in set(rejected_schema().names) - set(_TEXTS):
            raise ValueError(f"output: {self.output!r} is a column that every dataset has; choose another name")
        for number, example in enumerate(self.examples):
            missing = sorted((needed(self.template) | {self.output}) - example.keys())
            if missing:
                raise ValueError(f"examples[{number}]: has no {missing[0]!r}, only {', '.join(example) or 'nothing'}")
            if not isinstance(example[self.output], str) or not example[self.output].strip():
                raise ValueError(f"examples[{number}]: its {self.output!r} must be a text")

    @property
    def columns(self) -> dict[str, str]:
        return {} if self.output in _TEXTS else {self.output: "string"}

    def needs(self) -> list[Needs]:
        """The columns that the templates always read, without alternatives."""
        return [(name,) for name in sorted(needed(self.template) | needed(self.system_prompt or ""))]

    @property
    def rejections(self) -> tuple[str, ...]:
        truncated = (f"truncated_{self.output}",) if self.output in ("instruction", "system_prompt") else ()
        copies = ("copies_prompt",) if self._not_to_be_copied else ()
        looped = (REPETITION,) if self.sampling.repetition_detection else ()
        unfit = (f"empty_{self.output}", *truncated, *looped, *copies)
        return ("missing_column", "template_failed", "empty_prompt", *unfit)

    @property
    def num_outputs(self) -> int:
        return self.samples

    def calls(self) -> list[Sampling]:
        return [self.sampling] * self.samples

    async def __call__(self, record: Record, llm: LLM) -> Record | list[Record | Rejection]:
        prompt, system = fill(self.template, record), self._system_prompt(record)
        if not prompt:
            raise Rejection("empty_prompt")
        asked: Record = {"instruction": prompt, "system_prompt": system} if self.output == "response" else {}
        if not asked:
            llm.note(prompt, "prompt")
        messages = few_shot(((fill(self.template, example), example[self.output]) for example in self.examples), prompt)
        # A sample that is doomed does not end the others.
        draft = (lambda text: self._written(record | asked, text)) if self.samples == 1 else None
        async with asyncio.TaskGroup() as group:
            calls = [llm.chat(messages, self.sampling, system=system, draft=draft) for _ in range(self.samples)]
            answers = [group.create_task(call) for call in calls]
        outcomes = [self._outcome(record | asked, answer.result()) for answer in answers]
        if self.samples > 1:
            return outcomes
        (outcome,) = outcomes
        if isinstance(outcome, Rejection):
            raise outcome
        if self.output == "instruction":
            llm.note(outcome["instruction"], "instruction")
        return outcome

    def _outcome(self, record: Record, answer: Completion) -> Record | Rejection:
        made = self._written(record, answer.text) | {"finish_reason": answer.finish_reason}
        if not answer.text:
            looped = answer.finish_reason == REPETITION
            return Rejection(REPETITION if looped else f"empty_{self.output}", record=made)
        if is_copy(answer.text, self._not_to_be_copied):
            return Rejection("copies_prompt", record=made)
        if answer.finish_reason == "length" and self.output in ("instruction", "system_prompt"):
            return Rejection(f"truncated_{self.output}", record=made)
        return made

    def _written(self, record: Record, text: str) -> Record:
        # A conversation in the record does not contain this text.
        return record | {self.output: text} | ({"messages": None} if self.output in _TEXTS else {})

    @property
    def _not_to_be_copied(self) -> list[str]:
        """The template's own words are no instruction; rendered column values may recur in one."""
        template = [self.template] if self.output == "instruction" else []
        return [*template, *(example[self.output] for example in self.examples)]

    def _system_prompt(self, record: Record) -> str | None:
        if self.system_prompt is not None:
            return fill(self.system_prompt, record) or None
        given = record.get("system_prompt")
        return given if isinstance(given, str) and given else None
