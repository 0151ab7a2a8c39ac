"""The model's answer to a record's instruction, or to a conversation that waits for one."""

from dataclasses import field
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Needs, Record, Rejection, conversation_of, text_of
from synth.steps.llm import LLM

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Respond:
    """Answers `messages` where their last turn is the user's, else `instruction`; under `system_prompt`, if any.

    An answer that max_tokens cut is kept; its `finish_reason` is `length`.

    Rejections: `no_instruction`, `empty_response`.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=2048))

    columns: ClassVar[dict[str, str]] = {}
    rejections: ClassVar[tuple[str, ...]] = ("no_instruction", "empty_response")

    def needs(self) -> list[Needs]:
        return [{"instruction": "text", "messages": "conversation"}]

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        asked = _conversation(record)
        answer = await llm.chat(asked, self.sampling)
        messages = [*asked, {"role": "assistant", "content": answer.text}]
        made = record | {
            "messages": messages,
            "instruction": _first("user", messages),
            "response": _first("assistant", messages),
            "finish_reason": answer.finish_reason,
        }
        if not answer.text:
            raise Rejection("empty_response", record=made)
        return made


def _conversation(record: Record) -> list[Message]:
    """What the model answers, with the system prompt. Raises Rejection where there is nothing to answer."""
    messages: list[Message] = conversation_of(record)
    if not messages or messages[-1].get("role") != "user":
        instruction = text_of(record, "instruction")
        if not instruction:
            raise Rejection(
                "no_instruction", "there is neither an instruction nor a conversation that ends with the user"
            )
        messages = [{"role": "user", "content": instruction}]
    system = text_of(record, "system_prompt")
    if system and messages[0].get("role") != "system":
        messages = [{"role": "system", "content": system}, *messages]
    return messages


def _first(role: str, messages: list[Message]) -> str | None:
    return next((turn["content"] for turn in messages if turn["role"] == role), None)
