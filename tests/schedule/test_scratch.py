"""The folder of a run's own Ray: there for as long as its process lives, and no longer."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from synth.schedule import scratch as module
from synth.schedule.scratch import scratch

OWNER = """
import subprocess, sys, time
from pathlib import Path
from synth.schedule import scratch as module
module.PARENT = Path(sys.argv[1])
with module.scratch() as folder:
    log = (folder / "log").open("w")
    child = subprocess.Popen(["sleep", "600"], stdout=log, start_new_session=True)
    print(folder, child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PARENT", tmp_path)
    return tmp_path


@pytest.fixture
def owner(parent):
    """A process with a folder, and a child of its that has a file open in there. Gives all three."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(parent)], stdout=subprocess.PIPE, text=True)
    folder, child = process.stdout.readline().split()
    yield process, Path(folder), Path("/proc") / child
    process.kill()
    process.wait()


def gone(*paths):
    end = time.monotonic() + 60
    while any(path.exists() for path in paths) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(path.exists() for path in paths)


def test_it_goes_with_the_context(parent):
    with scratch() as folder:
        assert folder.is_dir()
    assert not list(parent.iterdir())


def test_it_goes_when_its_process_is_killed_and_so_does_whoever_uses_it(owner):
    process, folder, child = owner
    process.kill()
    process.wait()
    assert gone(folder)
    assert not (child / "fd").exists() or "zombie" in (child / "status").read_text()


def test_the_next_one_removes_what_a_process_left_that_was_killed_with_its_standby(parent, owner):
    process, folder, _ = owner
    for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if "read -r end" in Path(f"/proc/{word}/cmdline").read_text():
            subprocess.run(["kill", "-KILL", word], check=True)
    process.kill()
    process.wait()
    time.sleep(0.2)
    assert folder.exists()
    with scratch() as other:
        assert list(parent.iterdir()) == [other.parent]


def test_those_of_processes_that_live_and_those_without_a_lock_are_left_alone(parent, owner):
    process, folder, child = owner
    other = parent / "synth-notes"
    other.mkdir()
    with scratch():
        assert folder.exists() and other.exists()
    assert process.poll() is None and child.exists()
