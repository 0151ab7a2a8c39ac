"""Whole runs on disks that fail: full ones, and ones that can't be written to."""

import os
import subprocess

import pytest
from datasets import load_from_disk

from synth.run import main
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from tests.error_lines import check_line

SIMULATED = ["+strategy=magpie", "engine=simulated", "engine.tokens_per_second=5000", "engine.median_tokens=20"]


def run(folder, *overrides):
    return main([*SIMULATED, f"output_dir={folder}", *overrides])


def system(*words):
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip(f"{words[0]} needs more rights than these tests have")


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, of so many KiB: `disk(300)`. Called again it changes."""
    mounted = []

    def disk(size, more=""):
        again = "remount," if mounted else ""
        system("mount", "-t", "tmpfs", "-o", f"{again}size={size}k{more}", "tmpfs", str(tmp_path))
        mounted.append(size)
        return tmp_path

    yield disk
    if mounted:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_ends_a_run_with_what_is_finished_and_the_same_command_goes_on(disk, capsys):
    folder = disk(500) / "run"
    records = ["num_records=1000", "shard_size=50"]
    assert run(folder, *records) == 1
    output = capsys.readouterr().err.splitlines()
    assert [line for line in output if line.startswith("failed: ")] == [output[-2]]
    assert "No space left on device" in output[-2]
    check_line(output[-1], "finished records", f"{folder};", f"{folder}/logs")
    manifest = Manifest.read(RunFolder(folder))
    assert manifest.summaries and not manifest.damaged(RunFolder(folder))

    disk(20_000)
    assert run(folder, *records) == 0
    ids = [int(id) for id in load_from_disk(folder / "dataset")["id"]]
    assert len(ids) == 1000
    assert ids == sorted(set(ids))


def test_a_disk_that_is_full_from_the_start_is_said_before_anything_starts(disk, capsys):
    folder = disk(8) / "run"
    (folder.parent / "filler").write_bytes(b"x" * 4096)
    assert run(folder) == 2
    check_line(capsys.readouterr().err, f"error: output_dir: {folder}", "No space left on device")


@pytest.mark.parametrize("place", ["", "run"])
def test_a_disk_that_can_only_be_read_is_said_before_anything_starts(disk, capsys, place):
    disk(100)
    folder = disk(100, ",ro") / place
    assert run(folder) == 2
    check_line(capsys.readouterr().err, f"error: output_dir: {folder}", "Read-only file system")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_said_before_anything_starts(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert run(tmp_path / "run") == 2
    check_line(capsys.readouterr().err, f"error: output_dir: {tmp_path}/run", "Permission denied")


def test_a_folder_where_no_files_can_be_is_said_before_anything_starts(capsys):
    assert run("/proc/run") == 2
    assert capsys.readouterr().err.startswith("error: output_dir: /proc/run can't be written to (")
