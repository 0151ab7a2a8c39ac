"""A judgement in JSON: a reason, and then the verdict that follows from it.

Structured output constrains it where the engine supports that; elsewhere JSON is searched in the text. One that can't
be read is a rejection: `truncated_judgement` if max_tokens cut it, else `unparsable_judgement`.
"""

from typing import Any, Literal

from synth.steps.few_shot import Schema, object_schema
from synth.steps.ledger import Completion

Unreadable = Literal["truncated_judgement", "unparsable_judgement"]
UNREADABLE: tuple[Unreadable, ...] = ("truncated_judgement", "unparsable_judgement")
# The reason comes before the verdict, and is too short for max_tokens to cut the verdict off.
LONGEST_REASON = 200  # characters


def judgement_schema(name: str, verdict: Schema) -> Schema:
    """An object with `reason`, and the verdict under this `name`."""
    return object_schema({"reason": {"type": "string", "maxLength": LONGEST_REASON}, name: verdict})


def reason_of(judgement: dict[str, Any]) -> str:
    """The reason of a judgement; empty without any."""
    reason = judgement.get("reason")
    return reason.strip() if isinstance(reason, str) else ""


def unreadable(answer: Completion) -> Unreadable:
    """Why there is no judgement in an answer."""
    return "truncated_judgement" if answer.finish_reason != "stop" else "unparsable_judgement"
