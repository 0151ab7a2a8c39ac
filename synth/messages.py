"""A record's conversation: its `messages`, and the columns that the first turn of them has beside.

The one place that says which role stands in which column. Content that is a column's is the same object, so that a
model's words are known wherever they stand (synth/steps/ledger.py).
"""

from collections.abc import Sequence
from typing import Any

from synth.records import Record, Rejection, text_of

Message = dict[str, Any]
COLUMNS = {"system": "system_prompt", "user": "instruction", "assistant": "response"}  # by role, in order


def is_conversation(value: Any) -> bool:
    """Whether it is a list of {role, content}, both texts."""
    return isinstance(value, list) and all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in value
    )


def messages_of(record: Record) -> list[Message]:
    """Its `messages`, nothing where they are none: a source's may have other turns under this name."""
    messages = record.get("messages")
    return list(messages) if messages and is_conversation(messages) else []


def thoughts_of(message: Message) -> str | None:
    """What was thought before an assistant's message, where a dataset has that in its messages."""
    return message.get("reasoning_content") or message.get("thinking")


def first_turn(messages: Sequence[Message]) -> Record:
    """What its columns hold: the first text of each role, None without one. A turn that only calls tools has none."""
    return {
        column: next((turn["content"] for turn in messages if turn["role"] == role and says(turn)), None)
        for role, column in COLUMNS.items()
    }


def says(turn: Message) -> bool:
    """Whether it has words of its own beside tool calls."""
    return bool(turn["content"] or not turn.get("tool_calls"))


def as_messages(record: Record) -> list[Message]:
    """The first turn by its columns, as far as they hold texts."""
    found = ((role, text_of(record, column)) for role, column in COLUMNS.items())
    return [{"role": role, "content": text} for role, text in found if text is not None]


def to_answer(record: Record) -> list[Message]:
    """What waits for an answer: the conversation where a user has the last word, else the instruction; under the
    system prompt, if any. Raises Rejection, `no_instruction`, where there is neither."""
    messages = messages_of(record)
    if not messages or messages[-1]["role"] != "user":
        instruction = text_of(record, "instruction")
        if not instruction:
            why = "there is neither an instruction nor a conversation that ends with the user"
            raise Rejection("no_instruction", why)
        messages = [{"role": "user", "content": instruction}]
    system = text_of(record, "system_prompt")
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    return messages


def answered(record: Record, prompt: Sequence[Message], text: str) -> Record:
    """The record with a conversation and the assistant's answer to it as its own."""
    messages = [*prompt, {"role": "assistant", "content": text}]
    first = {name: text for name, text in first_turn(messages).items() if name != "system_prompt"}
    return record | first | {"messages": messages}
