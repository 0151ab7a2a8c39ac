"""Clocks that jump: nothing but notes for people reads the time of day."""

import ast
import os
import random
import time
from pathlib import Path

import synth
from synth.records import Shard
from synth.schedule.worker import Worker
from synth.storage.journal import Journal
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import config
from tests.storage.test_merge import run_of


async def test_a_clock_that_jumps_by_years_changes_no_row(tmp_path, monkeypatch):
    checksums = []
    for name in ("steady", "jumping"):
        folder = RunFolder(tmp_path / name)
        folder.make()
        worker = Worker(config(), folder.path, "fingerprint")
        await worker.start()
        checksums.append((await worker.run(Shard(0, 0, 20))).checksum)
        await worker.stop()
        monkeypatch.setattr(time, "time", lambda: random.uniform(0, 4e9))
        monkeypatch.setattr(time, "time_ns", lambda: random.randrange(4 * 10**18))
    assert checksums[0] == checksums[1]


def test_files_of_any_age_are_gone_on_with(tmp_path):
    folder, manifest = run_of(tmp_path, [(0, 1)], [(1, 1)])
    manifest.write(folder)
    journal = Journal.open(folder.journal(2), {})
    journal.close()
    for seconds in (0, 4_000_000_000):
        for path in tmp_path.rglob("*"):
            os.utime(path, (seconds, seconds))
        again = Manifest.read(folder)
        assert again == manifest and not again.damaged(folder)
        assert Journal.open(folder.journal(2), {}).finished.keys() == set()


def test_the_time_of_day_is_read_for_people_only():
    readers = set()
    for path in Path(synth.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and (node.attr in ("now", "utcnow", "today", "time_ns")):
                readers.add(path.name)
            if isinstance(node, ast.Attribute) and node.attr == "time" and getattr(node.value, "id", "") == "time":
                readers.add(path.name)
    # Metrics, when a run was created, since when a folder has its owner, and how long a server asks to wait.
    assert readers <= {"progress.py", "manifest.py", "run_folder.py", "patient_http.py"}
