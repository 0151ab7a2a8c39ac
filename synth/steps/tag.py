"""Labels of an instruction and its response, by the model: task category, quality, difficulty and language.

As in Magpie (arXiv 2406.08464, section 3), where such tags choose what is worth keeping. The labels to choose from
are those of the prompt, in synth/steps/prompts.
"""

from dataclasses import field, replace
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Record, Rejection
from synth.steps.json_answer import json_object
from synth.steps.llm import LLM
from synth.steps.prompts import LABELS, render

COLUMNS = {"task_category": "category", "quality": "quality", "difficulty": "difficulty", "language": "language"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string", "enum": list(labels)} for name, labels in LABELS.items()},
    "required": list(LABELS),
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Tag:
    """Adds the columns `task_category`, `quality`, `difficulty` and `language`, each a label or null.

    Labels are for the instruction, and for the response too if there is one and `with_response` is set. Where one
    is missing or unknown, that is `truncated_tags` if max_tokens cut the answer and else `unparsable_tags`:
    `on_failure` rejects the record for it, or keeps it with null in place of that label. Also: `no_instruction`.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=128))
    with_response: bool = True
    on_failure: Literal["reject", "keep"] = "reject"

    columns: ClassVar[dict[str, str]] = dict.fromkeys(COLUMNS, "string")
    rejections: ClassVar[tuple[str, ...]] = ("no_instruction", "truncated_tags", "unparsable_tags")

    def needs(self) -> list[tuple[str, ...]]:
        return [("instruction",)]

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        if not record.get("instruction"):
            raise Rejection("no_instruction")
        response = record.get("response") or None if self.with_response else None
        asked = render("tag", instruction=record["instruction"], response=response)
        answer = await llm.chat(asked, replace(self.sampling, json_schema=SCHEMA))
        found = json_object(answer.text, "category") or {}
        tagged = record | {column: _label(name, found.get(name)) for column, name in COLUMNS.items()}
        unread = [name for column, name in COLUMNS.items() if tagged[column] is None]
        if unread and self.on_failure == "reject":
            reason = "truncated_tags" if answer.finish_reason == "length" else "unparsable_tags"
            raise Rejection(reason, f"no label that can be read for {', '.join(unread)}", record=tagged)
        return tagged


def _label(name: str, value: Any) -> str | None:
    """The label as it is spelled in its list, whatever case and joints the model gives it."""
    if not isinstance(value, str):
        return None
    label = " ".join(value.replace("_", " ").replace("-", " ").lower().split())
    return label if label in LABELS[name] else None
