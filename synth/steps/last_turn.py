"""The last turn of a conversation: taken out as a record of its own, and put back when a step has changed it."""

from collections.abc import Sequence

from synth.messages import Message, as_messages, first_turn, messages_of
from synth.records import Record, text_of


def take_out(record: Record) -> tuple[list[Message], Record]:
    """The messages before the last user's message, with the system prompt, and a record of this message and its answer.

    A record without a conversation is returned unchanged.
    """
    turns = messages_of(record)
    users = [at for at, one in enumerate(turns) if one["role"] == "user"]
    if not users:
        return [], record
    system = text_of(record, "system_prompt")
    before = [{"role": "system", "content": system}] if system and turns[0]["role"] != "system" else []
    last = first_turn(turns[users[-1] : users[-1] + 2])
    return [*before, *turns[: users[-1]]], record | last | {"system_prompt": None, "messages": None}


def put_back(earlier: Sequence[Message], record: Record) -> Record:
    """A record of the last turn as one of the whole conversation."""
    if not earlier:
        return record
    messages = [*earlier, *as_messages({name: record.get(name) for name in ("instruction", "response")})]
    return record | first_turn(messages) | {"messages": messages}
