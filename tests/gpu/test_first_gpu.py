"""The script for whoever has a GPU: what it would run, and the table that it ends with. No GPU is asked."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
SCRIPT = ROOT / "benchmarks" / "first_gpu.sh"


def script(*words, **variables):
    env = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(["bash", SCRIPT, *words], env=env, capture_output=True, text=True)


def planned(*words, **variables):
    """The commands of each step."""
    done = script("--dry-run", *words, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    steps: dict[str, list[list[str]]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("== "):
            steps[line.removeprefix("== ")] = []
        else:
            steps[list(steps)[-1]].append(shlex.split(line))
    return steps


def test_a_dry_run_prints_every_step_and_makes_nothing():
    before = set(ROOT.iterdir())
    steps = planned()
    assert list(steps) == [
        "machine",
        "install",
        "load",
        "batch",
        "roofline",
        "seeds",
        "invariance",
        "preemption",
        "run",
    ]
    assert all(steps.values()) and set(ROOT.iterdir()) == before


def test_the_programs_that_it_runs_are_there_and_take_its_words(tmp_path):
    for step, commands in planned().items():
        for command in commands:
            for word in command:
                assert not word.startswith("benchmarks/") or (ROOT / word).is_file(), (step, word)
    first = (ROOT / "benchmarks" / "first_gpu.py").read_text()
    options = {word for one in planned().values() for words in one for word in words if word.startswith("--")}
    for option in ("--shape", "--sequences", "--greedy", "--no-seeds", "--kv-gib", "--arm", "--results"):
        assert option in options and f'"{option}"' in first


def test_carried_wheels_are_installed_without_a_network():
    (_, wheels, own) = planned("install", WHEELS="/media/wheels")["install"]
    assert "--no-index" in wheels and "/media/wheels" in wheels and "--no-index" in own


def test_chosen_steps_alone_are_made():
    assert list(planned("load", "run")) == ["load", "run"]


def test_a_step_that_is_none_is_refused_with_those_that_are():
    done = script("--dry-run", "bench")
    assert done.returncode == 2 and "error: there is no step 'bench'; choose from machine install" in done.stderr


def test_the_table_has_the_last_figures_and_how_each_step_ended(tmp_path):
    from first_gpu_table import table

    found = [{"what": "batch", "arm": "8b, 256 sequences, seeds", "tokens/s": rate} for rate in (1, 12345)]
    found += [{"what": "invariance", "arm": "demo, as it comes", "same alone": "31/32"}]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in found))
    (tmp_path / "steps.tsv").write_text("load\t3\tdone\nbatch\t600\tfailed (124)\n")
    lines = table(tmp_path).splitlines()
    assert [line.split() for line in lines[1:]] == [
        "batch 8b, 256 sequences, seeds 12,345".split(),
        "invariance demo, as it comes 31/32".split(),
        "load 3 s done".split(),
        "batch 600 s failed (124)".split(),
    ]


def test_a_failed_step_is_told_and_the_next_one_made(tmp_path):
    done = script("machine", OUT=str(tmp_path / "out"), PYTHON=sys.executable)
    assert done.returncode == 0 and "failed (127)" in done.stdout


def test_it_is_clean_to_shellcheck():
    try:
        done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("shellcheck is not here")
    assert done.stdout == ""
