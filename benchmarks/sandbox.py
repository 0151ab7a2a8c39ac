"""How many programs a minute the sandbox checks against their unit tests, and what bounds it.

    python benchmarks/sandbox.py [--programs 200] [--at-once 2] [--output benchmarks/results/sandbox.json]

The program is small, so that what is told is the cost of the sandbox: two Pythons that start, in one bubblewrap each.
What a check takes where nothing else runs is told beside what its parts do: a Python that does nothing, and one in a
bubblewrap, of which a check has two side by side.
The event loop's share is what an engine beside it has to do without.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from machine import processor

from synth.verifiers import sandbox
from synth.verifiers.unit_tests import UnitTests

PROGRAM = "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a"
TESTS = ["assert fib(0) == 0", "assert fib(1) == 1", "assert fib(20) == 6765", "assert fib(200) > 10**40"]
RECORD = {"response": f"```python\n{PROGRAM}\n```", "tests": TESTS}
STARTS = 40


async def checked(programs: int, at_once: int) -> dict[str, float]:
    verifier = UnitTests(at_once=at_once)
    await verifier.verify(RECORD)
    began, own = time.perf_counter(), _spent()
    verdicts = await asyncio.gather(*(verifier.verify(RECORD) for _ in range(programs)))
    assert {verdict.verdict for verdict in verdicts} == {"passed"}
    seconds = time.perf_counter() - began
    return {"programs_a_minute": 60 * programs / seconds, "event_loop_ms": 1000 * (_spent() - own) / programs}


def started(command: list[str], fds: tuple[int, ...] = ()) -> float:
    """Milliseconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, pass_fds=fds, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - began)


def sandboxed() -> float:
    with sandbox.inside("probe") as (command, fds):
        return started(command, fds)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if problem := sandbox.problem():
        raise SystemExit(problem)
    bare = [sys.executable, "-S", "-P", "-s", "-B", "-c", "pass"]
    found = asyncio.run(checked(given.programs, given.at_once))
    found["check_ms"] = 60_000 / asyncio.run(checked(STARTS, 1))["programs_a_minute"]
    found["python_ms"] = sum(started(bare) for _ in range(STARTS)) / STARTS
    found["sandboxed_python_ms"] = sum(sandboxed() for _ in range(STARTS)) / STARTS
    cores = len(os.sched_getaffinity(0))
    print(f"{processor()}, {cores} cores, {given.at_once} at once")
    print(f"programs a minute                    {found['programs_a_minute']:8,.0f}")
    print(f"ms of a check, one at a time         {found['check_ms']:8.1f}")
    print(f"  a Python in bubblewrap, of two     {found['sandboxed_python_ms']:8.1f}")
    print(f"  a Python alone                     {found['python_ms']:8.1f}")
    print(f"ms of the event loop                 {found['event_loop_ms']:8.1f}")
    if given.output:
        result = {"processor": processor(), "cores": cores, "at_once": given.at_once, "programs": given.programs}
        given.output.write_text(json.dumps(result | {name: round(value, 1) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
