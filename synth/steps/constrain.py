"""Adds checkable constraints to an instruction; synth/verifiers/rules.py has the kinds."""

from dataclasses import field
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.errors import nearest
from synth.messages import to_answer
from synth.records import Needs, Record, Rejection, text_of
from synth.verifiers.constraints import draw_constraints
from synth.verifiers.rules import KINDS


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Constrain:
    """Draws `min` to `max` compatible constraints of these `kinds`, appends them to the instruction in words, and adds
    the column `constraints`, which the verifier of that name reads.

    In a conversation that waits for an answer, they are appended to the user's last message. With `only`, such as
    {category: [writing, advice]}, records with another value in such a column get no constraints.

    Rejections: `no_instruction`.
    """

    min: Annotated[int, Field(ge=1)] = 1
    max: Annotated[int, Field(ge=1)] = 3
    kinds: Annotated[list[str], Field(min_length=1), BeforeValidator(as_list)] = field(default_factory=lambda: [*KINDS])
    only: dict[str, Annotated[list[str], BeforeValidator(as_list)]] = field(default_factory=dict)

    columns: ClassVar[dict[str, str]] = {"constraints": "list<string>"}
    rejections: ClassVar[tuple[str, ...]] = ("no_instruction",)

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise ValueError(f"kinds: there is no constraint {kind!r}{nearest(kind, KINDS)}")
        if self.max < self.min:
            raise ValueError(f"max: must be at least min={self.min}, got {self.max}")

    def needs(self) -> list[Needs]:
        return [{"instruction": "text", "messages": "conversation"}, *((name,) for name in self.only)]

    def calls(self) -> list[Any]:
        return []

    def __call__(self, record: Record, llm: Any) -> Record:
        if not all(record.get(name) in values for name, values in self.only.items()):
            return record | {"constraints": []}
        asked = to_answer(record)[-1]["content"]
        if not asked.strip():
            raise Rejection("no_instruction")
        rng = llm.rng
        chosen = draw_constraints(rng, rng.randint(self.min, self.max), self.kinds)
        wording = " ".join(constraint.worded(rng) for constraint in chosen)
        text = f"{asked.rstrip()}{rng.choice([' ', chr(10) * 2])}{wording}"
        made = record | {"constraints": [constraint.as_text() for constraint in chosen]}
        messages = record.get("messages")
        if messages and messages[-1].get("role") == "user":
            made["messages"] = [*messages[:-1], messages[-1] | {"content": text}]
        if text_of(record, "instruction") == asked:
            made["instruction"] = text
        return made
