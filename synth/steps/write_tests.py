"""Generates unit tests for a programming task and checks them by running (KodCode, arXiv 2503.02951).

In each attempt the model writes a solution with tests, until the tests pass on the solution and fail on mutants
(synth/verifiers/mutation.py; the mutants are ours, KodCode keeps tests that pass). A later step then answers the task
without seeing them. The signatures that the tests call are appended to the task. The prompt's wording is ours.
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
    they detect; appends the signatures that they call to the `instruction`.

    Makes up to `attempts` attempts at a solution with `n_tests` tests. Rejections: `no_instruction`; after the last
    attempt `unparsable_tests` if no answer had both, else `untested`, with the problem of the last tests.
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
    if all(signature.rstrip(":") in instruction for signature in signatures):
        return instruction
    listed = "\n".join(signatures)
    return f"{instruction}\n\nUse this signature:\n\n```python\n{listed}\n```"
