"""Every command of README and docs, as far as it goes without an engine."""

import importlib
import json
import shlex
import subprocess

import pytest
from datasets import Dataset

from synth import draw, run
from tests.documents import PAGES, ROOT, commands, write_files

# What sets up, serves or measures is run elsewhere or takes what is not everywhere: a GPU, a server, the Hub.
ELSEWHERE = (
    "make ",
    "pip ",
    "python3 -m venv",
    "vllm serve",
    "ray ",
    "kubectl ",
    "python benchmarks/",
    "python -m synth.export",
    "python -m synth.inspect",
    ". .venv/bin/activate",
    "sbatch ",
    "job=$(sbatch ",
    "SLICES=8 sbatch ",
)
DOORS = {"synth.run": lambda words: run.main([*words, "dry_run=true"]), "synth.draw": draw.main}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_as_written(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "synth").symlink_to(ROOT / "synth")  # a page may name a file of the checkout
    write_files(page, tmp_path)
    for command in commands(page):
        if command.startswith(ELSEWHERE) or "source=hub" in command:
            continue
        words = shlex.split(command)
        if words[:2] == ["python", "-m"] and words[2] in DOORS:
            code = DOORS[words[2]](words[3:])
        else:
            code = subprocess.run(command, shell=True).returncode
        assert code == 0, f"{command}\n{capfd.readouterr().err}"


def test_every_call_of_the_notebook_is_a_run_that_can_be_planned(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    notebook = json.loads((ROOT / "docs" / "notebook" / "synth.ipynb").read_text())
    rows = Dataset.from_dict({name: ["What is tea?"] for name in ("id", "instruction", "response", "task", "input")})
    rows = rows.add_column("lineage", [[{"operation": "deepen", "text": "Why is tea?"}]]).add_column("words", [3])
    planned = []

    def planned_only(words):
        assert run.main(["dry_run=true", *words]) == 0, capfd.readouterr().err
        planned.append(words)
        return 0, []

    monkeypatch.setattr(importlib.import_module("synth.generate"), "_run", planned_only)
    monkeypatch.setattr("datasets.load_from_disk", lambda _: rows)
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "except" not in "".join(cell["source"]):
            exec("".join(cell["source"]), names)
    assert len(planned) == 6
