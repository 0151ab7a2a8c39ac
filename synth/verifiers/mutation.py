"""Mutation testing of unit tests: tests that pass on a solution must fail on wrong programs.

The tests are run on wrong variants of the program (mutants.py). Tests that pass on a function that returns None, or one
constant, check nothing; mutants with one change may be equivalent to the program, so that only a share of them has to
fail.
"""

import asyncio
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.records import Record, derive_seed
from synth.verifiers import Verdict, answer_of, mutants
from synth.verifiers.notebook import Notebook
from synth.verifiers.unit_tests import UnitTests, program_of

_SOURCE = Path(mutants.__file__).read_text()
MOST_BYTES = 2**24  # of all wrong programs


class Parts(NamedTuple):
    """`signatures` are those of the program's functions and classes that the tests use."""

    program: str
    tests: str
    signatures: list[str]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class MutationTests(UnitTests):
    """Passes if the tests pass on the program of the response and fail on wrong ones.

    No naive program may pass: one whose functions return None, or a value that the tests expect. Of up to `mutants`
    programs with one change at least the share `min_killed` has to fail; that share is the score of a pass. A program
    without a function fails. The cost is one run per wrong program.
    """

    mutants: Annotated[int, Field(ge=0)] = 6
    min_killed: Annotated[float, Field(ge=0, le=1)] = 0.5

    async def verify(self, record: Record) -> Verdict:
        verdict = await super().verify(record)
        program, tests = program_of(answer_of(record)), self.tests_of(record)
        if verdict.verdict != "passed" or program is None or tests is None:
            return verdict
        wrong = await self._asked("wrong", program, tests, derive_seed(0, program) % 2**32, self.mutants)
        if not wrong:
            return Verdict("failed", 0.0, "the program has no function")
        entry_point = record.get(self.entry_point)
        killed: list[bool] = []
        for naive in (True, False):
            kind = [(how, one) for how, one, is_naive in wrong if is_naive is naive]
            verdicts = await asyncio.gather(*(self.run(one, tests, entry_point) for _, one in kind))
            passed = [how for (how, _), one in zip(kind, verdicts, strict=True) if one.verdict == "passed"]
            if naive and passed:
                return Verdict("failed", 0.0, f"the tests pass where {passed[0]}")
            killed = [verdict.verdict != "passed" for verdict in verdicts]
        score = sum(killed) / len(killed) if killed else 1.0
        if score < self.min_killed:
            return Verdict("failed", score, f"of {len(killed)} mutants the tests kill {sum(killed)}: not {passed[0]}")
        return Verdict("passed", score)

    async def parts_of(self, text: str) -> Parts | None:
        """The program and the tests in an answer's Python. None if it can't be parsed, or has no tests."""
        code = program_of(text)
        found = code and await self._asked("parts", code)
        return Parts(**found) if found and found["program"] and found["tests"] and found["signatures"] else None

    async def _asked(self, function: str, *arguments: Any) -> Any:
        """The result of a function of mutants.py, in the sandbox; None if it fails."""
        call = f"print({function}(*json.loads({json.dumps(arguments)!r})))"
        output = await self._notebook.run([_SOURCE, call], MOST_BYTES)
        try:
            return json.loads(output.text)
        except ValueError:
            return None

    @cached_property
    def _notebook(self) -> Notebook:
        return Notebook(cpu_s=self.cpu_s, timeout_s=self.timeout_s, memory_mb=self.memory_mb, at_once=self.at_once)
