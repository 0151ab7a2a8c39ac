"""Unit tests for a programming task, written by a model and checked by running them (KodCode, arXiv 2503.02951).

The model writes a solution with its tests, anew in each attempt, until the tests pass on the solution and fail on wrong
ones (synth/verifiers/mutation.py; what is wrong is ours, KodCode keeps what passes). The task is then to be answered by
a step that has not seen them. So that its functions are found by the tests, their signatures are put after the task.
The words of the prompt are ours.
"""

from dataclasses import field
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.engines import Sampling
from synth.records import Needs, Record, Rejection, text_of
from synth.steps.llm import LLM
from synth.steps.prompts import render
from synth.verifiers import Verifier
from synth.verifiers.mutation import MutationTests


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class WriteTests:
    """Adds `tests`, the `solution` that they were written with, and `mutation_score`, the share of its mutants that
    they tell from it; puts the signatures of what they call after the `instruction`.

    Asks up to `attempts` times for a solution with `n_tests` tests. Rejections: `no_instruction`; after the last
    attempt `unparsable_tests`, where no answer had both, else `untested`, with what was wrong with the last tests.
    """

    attempts: Annotated[int, Field(ge=1)] = 5
    n_tests: Annotated[int, Field(ge=1)] = 5
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8, max_tokens=2048))
    verifier: Annotated[Any, BeforeValidator(lambda given: part(given, "verifier", Verifier))] = field(
        default_factory=MutationTests
    )

    columns: ClassVar[dict[str, str]] = {"tests": "string", "solution": "string", "mutation_score": "double"}
    rejections: ClassVar[tuple[str, ...]] = ("no_instruction", "unparsable_tests", "untested")

    def __post_init__(self) -> None:
        if not isinstance(self.verifier, MutationTests):
            raise ValueError(f"verifier: must be a MutationTests, not a {type(self.verifier).__name__}")

    def needs(self) -> list[Needs]:
        return [{"instruction": "text"}]

    @property
    def outline(self) -> list[str]:
        return [f"up to {self.attempts} attempts at {self.n_tests} tests"]

    def calls(self) -> list[Sampling]:
        return [self.sampling] * self.attempts

    async def __call__(self, record: Record, llm: LLM) -> Record:
        instruction = text_of(record, "instruction")
        if not instruction:
            raise Rejection("no_instruction")
        prompt = render("write_tests", instruction=instruction, tests=self.n_tests)
        detail = ""
        for _ in range(self.attempts):
            answer = await llm.chat(prompt, self.sampling)
            parts = await self.verifier.parts_of(answer.text)
            if parts is None:
                continue
            fenced = f"```python\n{parts.program}\n```"
            verdict = await self.verifier.verify({"response": fenced, self.verifier.tests: parts.tests})
            detail = verdict.detail
            if verdict.verdict == "passed":
                task = _with_signatures(instruction, parts.signatures)
                llm.note(task, "tests")
                made = {"tests": parts.tests, "solution": parts.program, "mutation_score": verdict.score}
                return record | made | {"instruction": task, "messages": None}
        raise Rejection("untested" if detail else "unparsable_tests", detail)


def _with_signatures(instruction: str, signatures: list[str]) -> str:
    if all(one.rstrip(":") in instruction for one in signatures):
        return instruction
    listed = "\n".join(signatures)
    return f"{instruction}\n\nUse this signature:\n\n```python\n{listed}\n```"
