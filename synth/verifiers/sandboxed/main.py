"""The command of a sandbox, whose argument is its role: `program`, `tests`, `cells`, or `probe` to see that it starts.

Promises: memory, processor time, files and their size are limited before the first line of a program or of its tests.
"""

from __future__ import annotations

import builtins
import json
import os
import resource
import sys


def limit(memory_mb: int, cpu_s: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory_mb * 2**20),
        (resource.RLIMIT_FSIZE, 2**20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # SIGXCPU shows the cause; SIGKILL if it is ignored


def main() -> None:
    role = sys.argv[1]
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # normally from the module site
    if role == "probe":
        sys.stdout.write("ready")
        return
    sys.path.insert(0, "/")  # of Synth, the sandbox has this folder only
    if role == "cells":
        from synth.verifiers.sandboxed.cells import main as run

        hide()
        run(limit)
    elif role == "program":
        from synth.verifiers.sandboxed.program import serve
        from synth.verifiers.sandboxed.wire import Wire

        hide()
        wire = Wire(os.dup(0))
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)  # the program's standard input is empty
        settings = wire.receive()
        limit(settings["memory_mb"], settings["cpu_s"])
        serve(wire, settings["program"])
    elif role == "tests":
        from synth.verifiers.sandboxed.tests import test
        from synth.verifiers.sandboxed.wire import Wire

        hide()
        results = os.fdopen(os.dup(1), "w")
        job = json.loads(sys.stdin.read())
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        wire = Wire(int(sys.argv[2]))
        settings = {name: job[name] for name in ("program", "memory_mb", "cpu_s")}
        try:
            wire.send(settings)
            limit(job["memory_mb"], job["cpu_s"])
            counts = test(wire, job)
        except (EOFError, OSError) as error:
            counts = {"passed": 0, "failed": 1, "detail": str(error)}
        results.write(json.dumps(counts | {"ended": wire.ended}))
        results.flush()
        os._exit(0)


def hide() -> None:
    """These modules can't be imported from now on: programs and tests have the standard library alone."""
    sys.path.remove("/")
    for name in [name for name in sys.modules if name.partition(".")[0] == "synth"]:
        del sys.modules[name]


if __name__ == "__main__":
    main()
