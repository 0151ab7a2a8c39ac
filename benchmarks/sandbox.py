"""How many programs a minute the sandbox checks against their unit tests, and what bounds it.

    python benchmarks/sandbox.py [--programs 200] [--at-once 2]

The program is small, so that what is told is the cost of the sandbox: two Pythons that start, in one bubblewrap each.
The event loop's share is what an engine beside it has to do without.
"""

import argparse
import asyncio
import resource
import time

from machine import processor

from synth.verifiers import sandbox
from synth.verifiers.unit_tests import UnitTests

PROGRAM = "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a"
TESTS = ["assert fib(0) == 0", "assert fib(1) == 1", "assert fib(20) == 6765", "assert fib(200) > 10**40"]
RECORD = {"response": f"```python\n{PROGRAM}\n```", "tests": TESTS}


async def checked(programs: int, at_once: int) -> tuple[float, float]:
    """Seconds, and those of the processor in this process."""
    verifier = UnitTests(at_once=at_once)
    await verifier.verify(RECORD)
    began, own = time.perf_counter(), _own()
    verdicts = await asyncio.gather(*(verifier.verify(RECORD) for _ in range(programs)))
    assert {one.verdict for one in verdicts} == {"passed"}
    return time.perf_counter() - began, _own() - own


def _own() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=2)
    given = parser.parse_args()
    if problem := sandbox.problem():
        raise SystemExit(problem)
    seconds, own = asyncio.run(checked(given.programs, given.at_once))
    print(processor())
    print(f"programs a minute       {60 * given.programs / seconds:10,.0f}")
    print(f"ms of the event loop    {1000 * own / given.programs:10.1f}")


if __name__ == "__main__":
    main()
