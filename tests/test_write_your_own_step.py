"""The page docs/write_your_own_step.md, taken at its word: its files and commands, outside of the package."""

import re
import subprocess
import sys

import pytest
from datasets import load_from_disk

from tests.documents import ROOT, write_files
from tests.error_lines import check_line

PAGE = ROOT / "docs" / "write_your_own_step.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the page, each named in its first line."""
    folder = tmp_path_factory.mktemp("own")
    write_files(PAGE, folder)
    return folder


def run(folder, door, *words):
    command = [sys.executable, "-m", f"synth.{door}", "--config-dir", "my_conf", "+strategy=rephrased", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def test_the_step_is_drawn_with_what_it_tells_of_itself(folder):
    drawn = run(folder, "draw")
    assert drawn.returncode == 0, drawn.stderr
    assert "up to 2 records" in drawn.stdout and "same_wording" in drawn.stdout
    assert "at most 5 calls per record of the source" in drawn.stdout


def test_a_bad_parameter_is_refused_in_one_line(folder):
    refused = run(folder, "draw", "strategy.rephrase.wordings=0")
    assert refused.returncode == 2
    check_line(refused.stderr, "error: strategy.rephrase: wordings", "at least 1")


@pytest.mark.slow
def test_the_step_runs_among_shipped_ones(folder):
    command = next(line for line in PAGE.read_text().splitlines() if "engine=simulated num_records" in line)
    done = run(folder, "run", *command.split()[6:], "engine.tokens_per_second=2000")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = load_from_disk(str(folder / "runs" / "try" / "dataset")).to_list()
    assert len(rows) == 20
    for row in rows:
        assert row["response"] and row["rephrased_from"] and row["style"] in ("formal", "casual", "poetic")
        assert re.fullmatch(r"\d+/[01]", row["id"])
