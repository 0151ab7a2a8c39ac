"""The model's answer to a record's instruction, or to a conversation that waits for one."""

from dataclasses import field
from typing import ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.engines.repetition import REPETITION
from synth.messages import answered, to_answer
from synth.records import Needs, Record, Rejection
from synth.steps.llm import LLM
from synth.tool_calls import numbered, specifications
from synth.tools.calls_in_text import calls_in


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Respond:
    """Answers `messages` if their last turn is the user's, else `instruction`; with the record's `system_prompt`, if
    any.

    A record's own `tools` are shown by the chat template; calls in the answer, as JSON alone or in tags, become
    `tool_calls` of the last message (synth/tools/calls_in_text.py).

    An answer that max_tokens cut is kept; its `finish_reason` is `length`.

    Rejections: `no_instruction`, `empty_response`, `repetition`.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=2048))

    columns: ClassVar[dict[str, str]] = {}

    @property
    def rejections(self) -> tuple[str, ...]:
        return ("no_instruction", "empty_response", *((REPETITION,) if self.sampling.repetition_detection else ()))

    def needs(self) -> list[Needs]:
        return [{"instruction": "text", "messages": "conversation"}]

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        asked = to_answer(record)
        tools = specifications(record.get("tools"))
        answer = await llm.chat(asked, self.sampling, draft=lambda text: answered(record, asked, text), tools=tools)
        text, calls = calls_in(answer.text, {str(tool["function"].get("name")) for tool in tools})
        made = answered(record, asked, text, numbered(calls)) | {"finish_reason": answer.finish_reason}
        if not answer.text:
            raise Rejection(REPETITION if answer.finish_reason == REPETITION else "empty_response", record=made)
        return made
