r"""Tool-integrated reasoning (ToRA, arXiv 2309.17452; OpenMathReasoning, arXiv 2504.16891): a model writes Python
within its answer or reasoning, gets the output, and continues.

Generation stops at the end of each program. The program runs in the sandbox, after the earlier ones, like cells of a
notebook. Its output is appended to the text, and the model continues. By default programs are in fences of three
backticks, as in ToRA's format; other delimiters can be configured.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from functools import cached_property
from typing import Annotated, NamedTuple, Protocol

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.engines import Sampling
from synth.messages import Message
from synth.records import Rejection
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.verifiers import sandbox
from synth.verifiers.notebook import Notebook

FENCE = "```"


class Question(NamedTuple):
    messages: Sequence[Message]
    sampling: Sampling


class ToolAnswer(NamedTuple):
    """`runs` is the number of tool calls, failed ones included."""

    completion: Completion
    runs: int


class Tool(Protocol):
    required: bool

    async def answer(self, questions: Sequence[Question], llm: LLM) -> list[ToolAnswer | Rejection]: ...


@plain_dataclass
class _Draft:
    """A partial answer. `known` is the length of its text that has been processed."""

    question: Question
    completion: Completion | None = None
    thoughts: str | None = None
    prefix: str | None = None
    known: int = 0
    programs: list[str] = field(default_factory=list)
    result: ToolAnswer | Rejection | None = None


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PythonTool:
    r"""Runs the programs between `begin` and `end`, at most `rounds` per answer, and puts their output between
    `output_begin` and `output_end`. Delimiters are lines of their own; NeMo-Skills has `<tool_call>` and
    `</tool_call>`.

    max_tokens of the answer's sampling bounds the whole answer, with programs and output. Output is truncated to
    `most_characters`. Programs may take `cpu_s` seconds of processor time, `timeout_s` of wall time and `memory_mb`;
    earlier programs count, since all of an answer's programs run again for the last one's output. `at_once` run in
    parallel in each worker. They have the standard library, and `packages` of this machine. With `required`, an answer
    without a program does not pass.
    """

    rounds: Annotated[int, Field(ge=1)] = 6
    required: bool = True
    begin: str = "```python"
    end: str = "```"
    output_begin: str = "```output"
    output_end: str = "```"
    most_characters: Annotated[int, Field(ge=1)] = 1000
    cpu_s: Annotated[int, Field(ge=1)] = 10
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    memory_mb: Annotated[int, Field(ge=64)] = 512
    at_once: Annotated[int, Field(ge=1)] = 2
    packages: Annotated[list[str], BeforeValidator(as_list)] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("begin", "end", "output_begin", "output_end"):
            if not getattr(self, name).strip() or "\n" in getattr(self, name):
                raise ValueError(f"{name}: must be a single line that is not empty")
        for name in self.packages:
            if not name.isidentifier():
                raise ValueError(f"packages: {name!r} is not a package name")

    def missing(self) -> str | None:
        if problem := sandbox.problem():
            return f"_target_: {problem}"
        absent = next((name for name in self.packages if sandbox.place(name) is None), None)
        return f"packages: {absent} is not installed; pip install {absent}" if absent else None

    @cached_property
    def _notebook(self) -> Notebook:
        return Notebook(
            cpu_s=self.cpu_s,
            timeout_s=self.timeout_s,
            memory_mb=self.memory_mb,
            at_once=self.at_once,
            packages=self.packages,
        )

    async def answer(self, questions: Sequence[Question], llm: LLM) -> list[ToolAnswer | Rejection]:
        """Each question's answer. They continue in lockstep, so that a record's calls have a fixed order."""
        drafts = [_Draft(question) for question in questions]
        # The end of a fence that is no program stops the model too, and counts as a round.
        for left in reversed(range(self.rounds + 1)):
            waiting = [draft for draft in drafts if draft.result is None]
            async with asyncio.TaskGroup() as group:
                for draft in waiting:
                    group.create_task(self._continue(draft, llm, stops=left > 0))
            async with asyncio.TaskGroup() as group:
                for draft in waiting:
                    group.create_task(self._run(draft))
            if all(draft.result for draft in drafts):
                break
        return [draft.result for draft in drafts if draft.result is not None]

    async def _continue(self, draft: _Draft, llm: LLM, stops: bool) -> None:
        sampling, last = draft.question.sampling, draft.completion
        used = len(last.token_ids) if last else 0
        if last and used >= sampling.max_tokens:
            draft.result = ToolAnswer(replace(last, finish_reason="length"), len(draft.programs))
            return
        sampling = replace(
            sampling,
            max_tokens=sampling.max_tokens - used,
            stop=(*sampling.stop, f"\n{self.end}\n") if stops else sampling.stop,
        )
        try:
            draft.completion = await llm.chat(
                list(draft.question.messages),
                sampling,
                prefix=draft.prefix,
                thoughts=draft.thoughts,
                thinks_first=last is None,
            )
        except Rejection as why:
            draft.result = why
            return
        if draft.completion.finish_reason != "stop" or not stops:
            draft.result = ToolAnswer(draft.completion, len(draft.programs))

    async def _run(self, draft: _Draft) -> None:
        """Process the text up to its stop: the answer is finished, or continues after the output."""
        completion = draft.completion
        if draft.result is not None or completion is None:
            return
        in_thoughts = bool(completion.reasoning) and not completion.text
        text = completion.reasoning if in_thoughts else completion.text
        text = text or ""
        if draft.prefix is None and not in_thoughts and draft.thoughts is not None:
            draft.known = 0  # the reasoning is over, and the answer begins
        block = self._open_block(text[draft.known :])
        if block is None:
            draft.result = ToolAnswer(completion, len(draft.programs))
            return
        closed = text if text.endswith(f"\n{self.end}") else f"{text.rstrip()}\n{self.end}"
        if block:
            output = await self.printed([*draft.programs, block])
            draft.programs.append(block)
            closed = f"{closed}\n{self.output_begin}\n{output}\n{self.output_end}"
        closed += "\n"
        draft.known = len(closed)
        if in_thoughts:
            draft.thoughts = closed
        else:
            draft.thoughts, draft.prefix = completion.reasoning, closed

    def _open_block(self, text: str) -> str | None:
        """The program that the text ends in; empty where that is a block of another kind, None where it ends in no
        block. The end of a block may have been taken off with the stop, or be there, where the model stopped itself."""
        lines = text.splitlines()
        if lines and lines[-1].strip() == self.end and not self._begins(lines[-1], inside=True):
            lines.pop()
        opened: int | None = None
        for number, line in enumerate(lines):
            if opened is not None and line.strip() == self.end:
                opened = None
            elif opened is None and self._begins(line, inside=False):
                opened = number
        if opened is None:
            return None
        is_program = re.fullmatch(rf"{re.escape(self.begin)}3?", lines[opened].strip(), re.IGNORECASE)
        return "\n".join(lines[opened + 1 :]) if is_program else ""

    def _begins(self, line: str, *, inside: bool) -> bool:
        """A program, or another block that ends as programs do."""
        fenced = self.end == FENCE and line.strip().startswith(FENCE) and not inside
        return fenced or line.strip().casefold() == self.begin.casefold()

    async def printed(self, programs: Sequence[str]) -> str:
        """The output of the last program, as the model sees it."""
        output = await self._notebook.run(programs, most_bytes=4 * self.most_characters)
        if output.end != "done":
            limit = {"over_time": f"{self.cpu_s} s of processor time", "timeout": f"{self.timeout_s:g} s"}
            return f"TimeoutError: it took more than {limit[output.end]}" if output.end in limit else "it was killed"
        text = output.text.rstrip()
        if len(text) > self.most_characters:
            text = f"{text[: self.most_characters]}..."
        return text.replace(self.output_end, "'''")  # else text after it would count as the model's own
