"""Keeps the answers that a verifier passes; synth/verifiers/ has the verifiers."""

from dataclasses import field
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.components.lists import as_list
from synth.records import Needs, Record, Rejection
from synth.verifiers import Said, Verifier, verdict_of

REASONS: dict[Said, str] = {
    "passed": "passed_verification",  # if failures are wanted
    "failed": "failed_verification",
    "timeout": "verifier_timeout",
    "error": "verifier_error",
}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Verify:
    """Adds `verdict` and `verifier_score`, and rejects a record whose verdict is not in `keep`.

    Verdicts are `passed`, `failed`, and, if the result is unknown, `timeout` and `error`. Rejected rows have the
    columns too.

    Rejections: `failed_verification`, `verifier_timeout`, `verifier_error`; `passed_verification` if that is unwanted.
    """

    verifier: Annotated[Any, BeforeValidator(lambda given: part(given, "verifier", Verifier))]
    keep: Annotated[list[Said], Field(min_length=1), BeforeValidator(as_list)] = field(
        default_factory=lambda: ["passed"]
    )

    columns: ClassVar[dict[str, str]] = {"verdict": "string", "verifier_score": "double"}

    @property
    def rejections(self) -> tuple[str, ...]:
        return tuple(reason for verdict, reason in REASONS.items() if verdict not in self.keep)

    def needs(self) -> list[Needs]:
        return [{"response": "text", "messages": "conversation"}, *self.verifier.needs()]

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        judgement = await verdict_of(self.verifier, record)
        judged = record | {"verdict": judgement.verdict, "verifier_score": judgement.score}
        if judgement.verdict not in self.keep:
            raise Rejection(REASONS[judgement.verdict], judgement.detail, judged)
        return judged
