"""A sandbox for Python programs written by a model, by bubblewrap: nothing of this machine is in it.

Its root has the interpreter with its standard library and the system's libraries, all read-only, and nothing writable:
no home, no run folder, no /proc, no /tmp, no environment. It has no network, sees no other process, and can't start any
(seccomp.py). Memory, processor time, open files and their size have limits that the runner sets before the program's
first line (sandboxed/main.py); time and output are limited by the caller. It ends with its parent.

Works for any user on Linux with user namespaces; otherwise `problem()` says why not.
"""

import asyncio
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from synth.verifiers import sandboxed, seccomp

T = TypeVar("T")

OUT_OF_TIME, KILLED = 128 + signal.SIGXCPU, 128 + signal.SIGKILL  # exit status of bubblewrap for a signal

_INSIDE = "/synth/verifiers/sandboxed"  # inside, the folder of what runs there
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PROBE_S = 30.0


@functools.cache
def problem() -> str | None:
    """Why there is no sandbox on this machine, in a line, else None."""
    advice = "; on Debian and Ubuntu: apt-get install bubblewrap"
    if not sys.platform.startswith("linux") or not seccomp.supported():
        return "needs Linux on x86-64 or AArch64"
    if shutil.which("bwrap") is None:
        return f"needs bubblewrap (bwrap), which is not installed{advice}"
    try:
        with inside("probe") as (command, fds):
            done = subprocess.run(command, pass_fds=fds, capture_output=True, timeout=PROBE_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"needs bubblewrap, which can't be run here ({error})"
    if done.returncode or done.stdout != b"ready":
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"exit status {done.returncode}"
        return f"needs bubblewrap, which makes no sandbox here ({why}); are user namespaces allowed?"
    return None


@contextmanager
def inside(*arguments: str, packages: Sequence[str] = ()) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """The command that runs sandboxed/main.py with these arguments, and the file descriptors to inherit. `packages` of
    this machine are visible in it, read-only."""
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(seccomp.filter_program())
        yield [*_command(tuple(packages)), "--seccomp", str(reader), *_RUN, *arguments], (reader,)
    finally:
        os.close(reader)


_RUN = (f"/python/bin/{_PYTHON}", "-S", "-P", "-s", "-B", f"{_INSIDE}/main.py")  # importing site takes longest


async def exchange(process: Process, given: bytes, most: int) -> bytes:
    """Send the input and return the output: to its end, or until a little more than `most` bytes."""
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()
    found = b""
    while (more := await process.stdout.read(2**16)) and len(found) <= most:
        found += more
    return found


async def bounded(work: Callable[[list[Process]], Awaitable[T]], timeout_s: float) -> T:
    """The result of `work`, which adds its processes to a list: none of them outlives it. Raises TimeoutError."""
    processes: list[Process] = []
    try:
        return await asyncio.wait_for(work(processes), timeout_s)
    finally:
        await asyncio.shield(_end(processes))


async def _end(processes: Sequence[Process]) -> None:
    """Kill those that still run, and wait for all."""
    for process in processes:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    for process in processes:
        if process.stdout:  # read to its end: until then asyncio does not report the end of the process
            await process.stdout.read()
        await process.wait()


def place(package: str) -> Path | None:
    """The folder or file of an installed package, None if it is not installed."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)


@functools.cache
def _command(packages: tuple[str, ...] = ()) -> tuple[str, ...]:
    base = Path(sys.base_prefix)
    command = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    command += ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--hostname", "sandbox", "--uid", "65534", "--gid", "65534"]
    command += ["--setenv", "PYTHONHASHSEED", "0"]  # else the order of a set varies
    for folder in ("/lib", "/lib64"):
        if os.path.islink(folder):
            command += ["--symlink", os.readlink(folder), folder]
        else:
            command += ["--ro-bind-try", folder, folder]
    for path in ("/usr/lib", "/usr/lib64", "/etc/ld.so.cache"):
        command += ["--ro-bind-try", path, path]
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    command += ["--ro-bind", str(executable), f"/python/bin/{_PYTHON}"]
    if base != Path("/usr"):
        command += ["--ro-bind", str(base / "lib"), "/python/lib", "--setenv", "LD_LIBRARY_PATH", "/python/lib"]
    else:
        command += ["--symlink", "/usr/lib", "/python/lib"]
    for file in sorted(Path(str(sandboxed.__file__)).parent.glob("*.py")):  # compiled files would name folders outside
        command += ["--ro-bind", str(file), f"{_INSIDE}/{file.name}"]
    for found in filter(None, map(place, packages)):
        command += ["--ro-bind", str(found), f"/packages/{found.name}"]
    for device in ("/dev/null", "/dev/urandom"):
        command += ["--dev-bind", device, device]
    return (*command, "--remount-ro", "/", "--chdir", "/")
