"""Programs that want to harm or to cheat. Each passes its one test only where its attack succeeds."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from synth.verifiers import sandbox
from synth.verifiers.unit_tests import UnitTests

pytestmark = pytest.mark.skipif(sandbox.problem() is not None, reason=str(sandbox.problem()))

SECRET = "sk-not-to-be-read"


async def verdict(program, tests="assert f(20) == 6765", **keys):
    verifier = UnitTests(**keys)
    return await verifier.verify({"response": f"```python\n{program}\n```", "tests": tests})


def attempt(body):
    """A function that says whether what it tries can be done."""
    lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
    return f"import os, sys\ndef f():\n    try:\n{lines}\n    except Exception:\n        return False\n    return True"


async def can(body):
    return await verdict(attempt(body), "assert f() is True")


def to_all(data):
    """A program that writes to all that is open, the socket to the tests too."""
    return f"""
import os
for n in range(64):
    try:
        os.write(n, {data})
    except OSError:
        pass
def f(n):
    return 6"""


CHEATS = {
    "ends with success": "import os\nos._exit(0)",
    "ends when it is called": "import os\ndef f(n):\n    os._exit(0)",
    "leaves by SystemExit": "import sys\ndef f(n):\n    sys.exit(0)",
    "prints a result": 'import os\nfor n in (1, 2):\n    os.write(n, b\'{"passed": 1, "failed": 0}\\n\')\nos._exit(0)',
    "writes a result to every file": """
import os
for n in range(64):
    try:
        os.write(n, b'{"passed": 1, "failed": 0, "detail": ""}')
    except OSError:
        pass
os._exit(0)""",
    "speaks for the tests' side": """
import json, os, struct
data = json.dumps({"passed": 1, "failed": 0, "detail": ""}).encode()
for n in range(64):
    try:
        os.write(n, struct.pack("!I", len(data)) + data)
    except OSError:
        pass
def f(n):
    return 0""",
    "equals everything": """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __sub__(self, other): return 0
    def __hash__(self): return hash(6765)
def f(n):
    return Any()""",
    "is a number that equals everything": """
class Any(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(n):
    return Any(1)""",
    "patches builtins": """
import builtins
builtins.AssertionError = type("E", (Exception,), {})
def f(n):
    return 0""",
    "patches the test runner": """
import sys
main = sys.modules["__main__"]
main.test = lambda *a: {"passed": 1, "failed": 0, "detail": ""}
main.encode = lambda value, keep: {"any": 1}
def f(n):
    return 0""",
    "patches unittest": "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\ndef f(n):\n    return 0",
    "reads what is expected from the frames": """
import sys, re
def f(n):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if found := re.search(r"== (\\d+)", str(value)):
                return int(found[1])
        frame = frame.f_back""",
    "reads what is expected from memory": """
import gc, re
def f(n):
    for one in gc.get_objects():
        if isinstance(one, (dict, list)) and (found := re.search(r"f\\(20\\) == (\\d+)", str(one))):
            return int(found[1])""",
    "reads what is expected from files": """
import os, re
def f(n):
    for folder, _, files in os.walk("/"):
        if folder.startswith(("/usr", "/python", "/lib")):
            continue
        for name in files:
            try:
                if found := re.search(r"f\\(20\\) == (\\d+)", open(os.path.join(folder, name)).read(10**6)):
                    return int(found[1])
            except Exception:
                pass""",
    "raises what tests are skipped by": "import unittest\ndef f(n):\n    raise unittest.SkipTest('no')",
    "rewrites the checker": """
import os
def f(n):
    for path in ("/synth/verifiers/sandboxed/tests.py", "/solution.py", "/tests.py"):
        try:
            open(path, "w").write("raise SystemExit(0)")
        except OSError:
            pass
    return 0""",
    "answers with too much": "def f(n):\n    return 'a' * 10**8",
    "answers with what has no end": "def f(n):\n    a = []\n    a.append(a)\n    return a",
    "answers with nonsense": to_all("b'\\0\\0\\0\\5[[[[[' + b'x' * 1000"),
    "announces a message of 4 GiB": to_all("b'\\xff' * 100"),
}


@pytest.mark.parametrize("cheat", CHEATS)
async def test_a_program_that_cheats_does_not_pass(cheat):
    said = await verdict(CHEATS[cheat])
    assert said.verdict in ("failed", "error")
    assert said.score == 0.0


async def test_the_program_that_they_would_be_passes():
    assert (await verdict("def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)")).verdict == "passed"


async def test_an_object_that_is_near_to_every_number_does_not_pass():
    program = """
class Near:
    def __sub__(self, other): return 0.0
    def __lt__(self, other): return True
    def __contains__(self, other): return True
    __rsub__, __gt__, __le__, __ge__ = __sub__, __lt__, __lt__, __lt__
def f(n):
    return Near()"""
    for tests in ("assert abs(f(1) - 4.0) < 0.1", "assert f(1) < 3", "assert 3 > f(1)", "assert 3 in f(1)"):
        assert (await verdict(program, tests)).verdict == "failed"


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def abs(x):\n    return 0", "assert abs(f(2) - 4) < 0.1"),
        ("def isinstance(x, y):\n    return True", "assert isinstance(f(2), str)"),
        ("def set(x):\n    return 0", "assert set(f(2)) == set(f(3))"),
        ("class math:\n    def isclose(*a):\n        return True", "assert math.isclose(f(2), 4)"),
        ("class unittest:\n    pass\n", "import unittest\nassert unittest.mock and f(2) == 4"),
        ("AssertionError = __name__ = __builtins__ = 0", "assert f(2) == 4"),
    ],
)
async def test_what_a_program_calls_as_python_does_is_not_asked_by_its_tests(program, tests):
    program = f"def f(n):\n    return 0\n{program}"
    for wanted in (tests, f"from solution import *\n{tests}"):
        assert (await verdict(program, wanted)).verdict == "failed"


@pytest.mark.parametrize("body", ["pass", "import math", "open('/dev/null').read()", "os.getcwd()"])
async def test_what_is_harmless_can_be_done(body):
    assert (await can(body)).verdict == "passed"


@pytest.mark.parametrize(
    "body",
    [
        "assert set(os.listdir('/')) & {'work', 'root', 'home', 'tmp', 'proc', 'sys', 'run', 'var'}",
        "os.listdir(os.path.expanduser('~nobody'))",
        "open('/etc/passwd').read()",
        "open('/proc/self/environ').read()",
        "os.listdir('/proc')",
        "open('/written', 'w').write('a')",
        "open('/tmp/written', 'w').write('a')",
        "open('/dev/shm/written', 'w').write('a')",
        "open('/python/lib/written', 'w').write('a')",
        "os.mkdir('/folder')",
        "import socket\nsocket.socket(socket.AF_INET)",
        "import socket\nsocket.socket(socket.AF_UNIX)",
        "import socket\nsocket.socket(socket.AF_VSOCK)",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
        "os.fork()",
        "import subprocess\nsubprocess.run([sys.executable, '-c', ''])",
        "os.posix_spawn(sys.executable, [sys.executable], {})",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "os.kill(os.getppid(), 9)",
        "os.kill(1, 9)",
        "os.kill(-1, 9)",
        "os.setuid(0)",
        "os.chroot('/')",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)",
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
        "import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0",
        "import ctypes\nassert ctypes.CDLL(None).shmget(0, 4096, 0o1600) >= 0",
        "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/dev', b'tmpfs', 0, 0) == 0",
        "assert [name for name in os.environ if 'KEY' in name]",
        "[os.open('/dev/null', 0) for n in range(1000)]",
        "fd = os.memfd_create('a')\nos.ftruncate(fd, 2**30)",
    ],
)  # fmt: skip
async def test_what_is_outside_is_out_of_reach(body, monkeypatch):
    monkeypatch.setenv("A_KEY", SECRET)
    said = await can(body)
    assert (said.verdict, said.score) == ("failed", 0.0)
    assert "AssertionError" in said.detail  # it answered False


async def test_tests_are_in_a_sandbox_too(monkeypatch):
    monkeypatch.setenv("A_KEY", SECRET)
    tests = "import os\nassert f(1) == 1\nassert 'A_KEY' in os.environ or os.path.exists('/root')"
    assert (await verdict("def f(n):\n    return 1", tests)).verdict == "failed"


BOMBS = {
    "processes": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    "threads": "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,)).start()",
    "memory": "a = []\nwhile True:\n    a.append('a' * 10**6 + str(len(a)))",
    "one large block": "a = bytearray(10**11)",
    "output": "while True:\n    print('a' * 10**6)",
    "recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(n):\n    return f(n)\nf(1)",
    "a number": "10 ** 10 ** 10",
    "sleep": "import time\ntime.sleep(1000)",
    "pattern": "import re\nre.match('(a+)+b', 'a' * 50)",
    "compiler": "exec('(' * 10**5)",
    "deaf": """
import signal
for n in range(1, 65):
    try:
        signal.signal(n, signal.SIG_IGN)
    except Exception:
        pass
while True:
    pass""",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_program_that_takes_all_there_is_ends_within_its_bounds(bomb):
    said = await verdict(BOMBS[bomb], cpu_s=1, timeout_s=5.0, memory_mb=256)
    assert said.verdict in ("failed", "timeout", "error")
    assert said.score == 0.0
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 * 2**20  # KiB


@pytest.mark.parametrize(
    "body", ["while True:\n    print('a' * 10**6)", "import os\nwhile True:\n    os.write(2, b'a' * 10**6)"]
)
async def test_tests_that_print_without_end_end_within_their_bounds(body):
    assert (await verdict("def f(n):\n    return 1", f"assert f(1) == 1\n{body}", cpu_s=1)).verdict == "error"


async def test_nothing_is_left_running_after_a_time_out():
    await verdict("import time\ntime.sleep(1234)", timeout_s=1.0)
    await asyncio.sleep(0.2)
    assert sandboxes_of(os.getpid()) == []


async def test_nothing_is_left_running_after_a_record_is_cancelled():
    checking = asyncio.create_task(verdict("import time\ntime.sleep(1234)"))
    await asyncio.sleep(1)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    await asyncio.sleep(0.2)
    assert sandboxes_of(os.getpid()) == []


def test_a_sandbox_ends_with_the_process_that_has_begun_it():
    code = """
import asyncio
from tests.verifiers.test_attacks import verdict
async def main():
    checking = asyncio.create_task(verdict("import time\\ntime.sleep(1234)", timeout_s=600))
    await asyncio.sleep(2)
    from tests.verifiers.test_attacks import sandboxes_of
    import os
    print(*sandboxes_of(os.getpid()), flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    pids = parent.stdout.readline().split()
    assert pids
    parent.kill()
    parent.wait()
    for _ in range(50):
        if not [pid for pid in pids if _runs(pid)]:
            return
        subprocess.run(["sleep", "0.1"])
    raise AssertionError("a sandbox outlived its parent")


def test_the_sandbox_works_for_a_user_who_is_not_root(monkeypatch):
    """With the system's Python: the one that runs this may be in a folder that is root's alone."""
    systems = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if os.getuid() != 0 or not os.path.exists(systems):
        pytest.skip("takes root, and a Python of the system")
    monkeypatch.setattr(sys, "_base_executable", systems)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    # The command is cached, for the Python that runs this.
    monkeypatch.setattr(sandbox, "_command", sandbox._command.__wrapped__)
    with sandbox.inside("probe") as (command, fds):
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        done = subprocess.run(command, pass_fds=fds, capture_output=True, **nobody)
    assert done.stdout == b"ready", done.stderr


async def test_no_server_on_this_machine_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        said = await can(f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)")
        assert said.verdict == "failed"
        with pytest.raises(TimeoutError):
            server.accept()


def sandboxes_of(pid):
    """Of a process, its children and theirs, those that are bubblewrap's or in its sandboxes, by their pids."""
    children = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if state != "Z":
            children.setdefault(int(parent), []).append((int(status.parent.name), name.partition("(")[2]))
    found, waiting = [], [pid]
    while waiting:
        for child, name in children.get(waiting.pop(), []):
            waiting.append(child)
            if name == "bwrap":
                found.append(child)
    return found


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
