"""A record's conversation: its `messages`, and the columns for their first turn.

The only module that maps roles to columns. Contents stay the same string objects, by which a model's texts are known
(synth/steps/ledger.py).
"""

import json
from collections.abc import Sequence
from typing import Any

from synth.records import Record, Rejection, text_of

Message = dict[str, Any]
COLUMNS = {"system": "system_prompt", "user": "instruction", "assistant": "response"}  # by role, in order


def is_conversation(value: Any) -> bool:
    """Whether it is a list of {role, content}, both text."""
    return isinstance(value, list) and all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in value
    )


def messages_of(record: Record) -> list[Message]:
    """Its `messages`, empty if they are invalid: a source may have another column of this name."""
    messages = record.get("messages")
    return list(messages) if messages and is_conversation(messages) else []


def thoughts_of(message: Message) -> str | None:
    """The reasoning before an assistant's message, if the dataset stores it in messages."""
    return message.get("reasoning_content") or message.get("thinking")


def first_turn(messages: Sequence[Message]) -> Record:
    """The columns of the first turn: the first text of each role, else None. A turn with calls only has no text."""
    return {
        column: next((turn["content"] for turn in messages if turn["role"] == role and has_text(turn)), None)
        for role, column in COLUMNS.items()
    }


def has_text(turn: Message) -> bool:
    """Whether it has text beside tool calls."""
    return bool(turn["content"] or not turn.get("tool_calls"))


def as_messages(record: Record) -> list[Message]:
    """The first turn from its columns, as far as these are text."""
    found = ((role, text_of(record, column)) for role, column in COLUMNS.items())
    return [{"role": role, "content": text} for role, text in found if text is not None]


def to_answer(record: Record) -> list[Message]:
    """The messages to answer: the conversation if its last turn is the user's, else the instruction; with the system
    prompt, if any. Raises Rejection `no_instruction` if there is neither."""
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


def as_line(message: Message) -> str:
    """A message for a prompt, as JSON on one line: its text can't begin another message."""
    return json.dumps({message["role"]: message["content"]}, ensure_ascii=False)


def answered(record: Record, prompt: Sequence[Message], text: str, calls: Sequence[Message] = ()) -> Record:
    """The record with a conversation and the assistant's answer to it, with its tool calls if there are some."""
    messages = [*prompt, {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}]
    first = {name: text for name, text in first_turn(messages).items() if name != "system_prompt"}
    return record | first | {"messages": messages}
