"""A judge's yes or no: constrained to JSON with a reason before the verdict, where the engine supports it.

As in judge.py, examples are shown as earlier turns, and a reason that is one of theirs is no judgement.
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Rejection
from synth.steps.few_shot import few_shot
from synth.steps.json_answer import json_object
from synth.steps.judgement import UNREADABLE, judgement_schema, reason_of, unreadable
from synth.steps.llm import LLM

SCHEMA = judgement_schema("verdict", {"type": "string", "enum": ["yes", "no"]})
_WORDS = {"yes": True, "true": True, "no": False, "false": False}


@plain_dataclass(frozen=True, slots=True)
class Verdict:
    yes: bool
    reason: str


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class YesNo:
    """The judge: `model` is one of the run, None for the step's. A verdict that can't be read rejects the record as
    `truncated_judgement` or `unparsable_judgement`."""

    model: str | None = None
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=128))

    rejections: ClassVar[tuple[str, ...]] = UNREADABLE

    @property
    def call(self) -> Sampling:
        return replace(self.sampling, model=self.sampling.model or self.model)

    async def ask(self, examples: Sequence[tuple[str, Any]], request: str, llm: LLM) -> Verdict:
        """Raises Rejection."""
        answer = await llm.chat(few_shot(examples, request), self.call, json_schema=SCHEMA)
        found = json_object(answer.text, "verdict") or {}
        verdict, reason = _WORDS.get(str(found.get("verdict")).strip(" .").casefold()), reason_of(found)
        is_echo = any(reason == shown["reason"] for _, shown in examples)
        if verdict is None or is_echo:
            raise Rejection(unreadable(answer), answer.text)
        return Verdict(verdict, reason)
