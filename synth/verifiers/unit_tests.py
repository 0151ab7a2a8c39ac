"""Code: runs the unit tests of a problem on the program in the response.

Program and tests run in two sandboxes (sandbox.py) that share a socket (sandboxed/): the verdict comes from the
tests' side, which the program can't reach. The quality of the tests is unknown: tests that check nothing pass on any
program.
"""

import asyncio
import json
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from functools import cached_property, partial
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Unusable
from synth.own_time import ours
from synth.records import Needs, Record
from synth.verifiers import Verdict, answer_of, sandbox

MOST_OUTPUT = 2**16  # bytes of a result
MOST_SOURCE = 2**20  # characters of a program and its tests
ENDED = "the program ended while it was tested"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class UnitTests:
    """Passes if all tests in the column `tests` pass on the Python code blocks of the response.

    Tests are Python: asserts, functions `test_…`, unittest classes, a list of such texts, or a function
    `check(candidate)`, which is called with the function that the column `entry_point` names. They have the program's
    names, and a module `solution` with them. The score is the share of passed tests.

    A program may take `cpu_s` seconds of processor time, as may its tests, and `memory_mb` of memory each: so other
    processes change no verdict. A program that takes more has failed. More than `timeout_s` of wall time, for example
    of a program that sleeps, is a `timeout`. `at_once` programs run in parallel in each worker.
    """

    tests: str = "tests"
    entry_point: str = "entry_point"
    cpu_s: Annotated[int, Field(ge=1)] = 10
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    memory_mb: Annotated[int, Field(ge=64)] = 512
    at_once: Annotated[int, Field(ge=1)] = 2

    def missing(self) -> str | None:
        found = sandbox.problem()
        return found and f"_target_: {found}"

    def needs(self) -> list[Needs]:
        return [(self.tests,)]

    async def verify(self, record: Record) -> Verdict:
        if (tests := self.tests_of(record)) is None:
            return Verdict("error", 0.0, f"no tests in the column {self.tests!r}")
        if (program := program_of(answer_of(record))) is None:
            return Verdict("failed", 0.0, "no code")
        if len(program) + len(tests) > MOST_SOURCE:
            return Verdict("failed" if len(program) > len(tests) else "error", 0.0, "a text without end")
        return await self.run(program, tests, record.get(self.entry_point))

    def tests_of(self, record: Record) -> str | None:
        tests = record.get(self.tests)
        tests = "\n".join(tests) if isinstance(tests, list) and all(isinstance(test, str) for test in tests) else tests
        return tests if isinstance(tests, str) and tests.strip() else None

    async def run(self, program: str, tests: str, entry_point: Any = None) -> Verdict:
        """Raises Unusable if the machine has no sandbox."""
        job = {
            "program": program,
            "tests": tests,
            "entry_point": entry_point,
            "memory_mb": self.memory_mb,
            "cpu_s": self.cpu_s,
        }
        with ours():
            async with self._turns:
                if problem := await asyncio.to_thread(sandbox.problem):
                    raise Unusable(f"a verifier of code {problem}")
                return await self._verdict(json.dumps(job).encode())

    @cached_property
    def _turns(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.at_once)

    async def _verdict(self, job: bytes) -> Verdict:
        try:
            return await sandbox.bounded(partial(self._checked, job), self.timeout_s)
        except TimeoutError:
            return Verdict("timeout", 0.0, f"it was not over after timeout_s={self.timeout_s:g}")

    async def _checked(self, job: bytes, processes: list[Process]) -> Verdict:
        result = await self._result(job, processes)
        found = _read(result)
        too_long = f"took more than cpu_s={self.cpu_s} of processor time"
        program, tests = processes
        if not result and await tests.wait() == sandbox.OUT_OF_TIME:
            return Verdict("error", 0.0, f"the tests {too_long}")
        if found.detail.startswith(ENDED):
            status = await program.wait()
            if status == sandbox.OUT_OF_TIME:
                return found._replace(detail=f"the program {too_long}")
            if status == sandbox.KILLED:  # probably because the machine was out of memory
                return Verdict("error", 0.0, "the program was killed")
        return found

    async def _result(self, job: bytes, processes: list[Process]) -> bytes:
        of_program, of_tests = socket.socketpair()
        with of_program, of_tests:
            with sandbox.inside("program") as (command, fds):
                processes.append(
                    await asyncio.create_subprocess_exec(
                        *command, pass_fds=fds, stdin=of_program.fileno(), stdout=DEVNULL, stderr=DEVNULL
                    )
                )
            with sandbox.inside("tests", str(of_tests.fileno())) as (command, fds):
                process = await asyncio.create_subprocess_exec(
                    *command, pass_fds=(*fds, of_tests.fileno()), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
                )
                processes.append(process)
        return await sandbox.exchange(process, job, MOST_OUTPUT)


def _read(result: bytes) -> Verdict:
    """The result that the tests' side writes; tests that end before have none."""
    try:
        counts = json.loads(result)
        if error := counts.get("error"):
            return Verdict("error", 0.0, str(error))
        passed, failed = int(counts["passed"]), int(counts["failed"])
    except (ValueError, AttributeError, KeyError, TypeError):
        return Verdict("error", 0.0, "the tests ended without a result")
    if counts.get("ended"):
        return Verdict("failed", passed / (passed + failed + 1), ENDED)
    if failed:
        return Verdict("failed", passed / (passed + failed), str(counts["detail"])[:1000])
    return Verdict("passed", 1.0) if passed else Verdict("error", 0.0, "there are no tests in it")


def program_of(text: str) -> str | None:
    """The Python blocks of an answer in order; blocks without a language if none has Python's. The whole text if there
    are no blocks."""
    if "```" not in text:
        return text if text.strip() else None
    blocks = _blocks(text)
    found = [code for language, code in blocks if language in ("python", "py", "python3")]
    found = found or [code for language, code in blocks if not language]
    return "\n".join(found) if any(one.strip() for one in found) else None


def _blocks(text: str) -> list[tuple[str, str]]:
    """Language and code of each fenced block. An unclosed fence does not count."""
    found: list[tuple[str, str]] = []
    language, lines = None, []
    for line in text.splitlines(keepends=True):
        if not line.lstrip().startswith("```"):
            lines.append(line)
        elif language is None:
            words = line.strip().removeprefix("```").split()
            language, lines = words[0].lower() if words else "", []
        elif line.strip() == "```":
            found.append((language, "".join(lines)))
            language = None
    return found
