"""Every command of README and docs, in the order of its page.

Each goes as far as it does in a second: runs are planned, exports written, packages looked up but not installed. Marked
`documents` they are made, with vLLM and the shipped model (make test-docs). What a page has and this machine lacks is
stood in for: the Hub and S3, models of the Hub by the shipped one, millions of records by a few. SLURM and clusters are
real, in tests/slurm and test_ray_job.py.
"""

import argparse
import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from datasets import Dataset
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from synth import draw, export, inspect, merge, run
from synth.pilot import __main__ as pilot
from synth.steps.batch import AnswerRequest
from synth.tune import __main__ as tune
from synth.verifiers import sandbox
from tests.documents import PAGES, ROOT, commands, look_like_the_checkout, name_of, write_files
from tests.hub_stand_in import TOKEN, HubStandIn
from tests.storage.rows import run_of
from tests.strategies import IN_A_SANDBOX

ALPACA = "".join(json.dumps({"instruction": f"Say {n}.", "output": f"{n}."}) + "\n" for n in range(120)).encode()
SMALL = [(r" model=\S+", ""), (r"num_records=\d{4,}", "num_records=40"), ("tatsu-lab/alpaca", r"\g<0> num_records=20")]
ANSWERED = {"custom_id": "request-1", "line": 1, "result": '{"object": "chat.completion", "choices": []}'}
# A cluster of its own, an account, a model that can do a sum.
NOT_MADE = ("cluster.address=", "publish=s3://", "tracking=wandb", "_reasoning model=smollm2-135m-instruct")


@pytest.fixture(scope="module")
def hub():
    with HubStandIn({"tatsu-lab/alpaca": {"data/train-00000.jsonl": ALPACA}}) as hub:
        yield hub


@pytest.fixture
def shell(tmp_path, monkeypatch, hub):
    """Runs a line in a folder that looks like the checkout, and returns its exit code."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(_registry, "s3", MemoryFileSystem)  # what fsspec registers publicly can't be taken back
    look_like_the_checkout(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-reader")
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN}
    env |= {"HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}

    def shell(line, cwd=tmp_path, **more):
        return subprocess.run(line, shell=True, cwd=cwd, env=env | more).returncode

    return shell


def understood(command, shell):
    """The exit code of a command that goes as far as it does without an engine."""
    match shlex.split(command):
        case ["python", "-m", "synth.run", *words]:
            from_hub = {"source=hub", "source=alpaca"} & {*words}
            return shell(f"{command} dry_run=true") if from_hub else run.main([*words, "dry_run=true"])
        case ["python", "-m", "synth.pilot", *words]:
            return pilot.main([*words, "dry_run=true"])
        case ["python", "-m", "synth.tune", *words]:
            return tune.main([*words, "dry_run=true"])
        case ["python", "-m", "synth.draw", *words]:
            return draw.main(words)
        case ["python", "-m", "synth.inspect" | "synth.export" as door, folder, *words]:
            with a_run_in(Path(folder), *([ANSWERED] if "openai_batch" in words else [])):
                if {"--push-to-hub", "--publish"} & {*words}:
                    return shell(command)
                return {"synth.inspect": inspect, "synth.export": export}[door].main([folder, *words])
        case ["python", "-m", "synth.merge", *folders, "--into", into]:
            for seed, folder in enumerate(folders):
                if not Path(folder).exists():
                    run_of(Path(folder), {}, {}, seed=seed)
            return merge.main([*folders, "--into", into])
        case ["python", program, *words]:
            return read_by(program, words)
        case ["make", "test", arguments]:
            return shell(f"python -m pytest --collect-only -q {arguments.removeprefix('ARGS=')}", cwd=ROOT)
        case ["make", *_]:
            return shell(f"make -n {command.removeprefix('make ')}", cwd=ROOT)
        case ["python3", "-m", "venv", *_]:
            Path("elsewhere").mkdir()
            return shell(command, cwd="elsewhere")
        case ["pip", *_]:
            looked_up = "pip install --dry-run --no-deps --no-build-isolation"
            return shell(command.replace("pip install", looked_up), cwd=ROOT)
        case ["vllm", "serve", *words]:  # the command itself takes vLLM's own wheel
            from vllm.entrypoints.launchers.cli_args import make_arg_parser
            from vllm.utils.argparse_utils import FlexibleArgumentParser

            make_arg_parser(FlexibleArgumentParser()).parse_args(words)
            return 0
        case ["ray", "job", "submit", "--runtime-env-json", _, "--", *words]:
            return understood(shlex.join(words), shell)
        case ["kubectl", "apply", "-f", "magpie.yaml"] | ["kubectl", "get", "rayjob", "magpie"]:
            return 0  # no Kubernetes here: test_ray_job.py reads the manifest
        case [*words] if any("sbatch" in word for word in words):
            return submitted(command)
    return shell(command)


@contextmanager
def a_run_in(folder, *rows):
    """A small one, for as long as it is needed, where the page has made none."""
    if made := not folder.exists():
        run_of(
            folder, *(rows or [{}, {}, {}]), columns={name: AnswerRequest.columns[name] for row in rows for name in row}
        )
    yield
    if made:
        shutil.rmtree(folder)


def read_by(program, words):
    """0 when the program's own parser takes the words."""

    class Taken(Exception):
        pass

    take = argparse.ArgumentParser.parse_args

    def taken(*given):
        take(*given)
        raise Taken

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Taken):
        patch.setattr(sys, "argv", [program, *words])
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        patch.setattr(argparse.ArgumentParser, "parse_args", taken)
        runpy.run_path(program, run_name="__main__")
    return 0


def submitted(command):
    """The code of what a job would run."""
    if "--wrap" in command:
        return 0  # its program is no run
    script, overrides = re.search(r"(slurm/\S+)([^)]*)", command).groups()
    assert Path(script).exists()
    array = ["slice=0/8"] if "array" in script else []
    return run.main([*array, *shlex.split(overrides), "dry_run=true"])


def possible(page):
    """Its commands, without those that take a sandbox where there is none."""
    without = sandbox.problem() is not None
    return [command for command in commands(page) if not (without and any(name in command for name in IN_A_SANDBOX))]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_are_understood_as_written(page, tmp_path, shell, capfd):
    write_files(page, tmp_path)
    for command in possible(page):
        code = understood(command, shell)
        output = capfd.readouterr()
        assert code == 0 and "does not provide the extra" not in output.err, f"{command}\n{output.err}"


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.documents
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_do_what_they_are_for(page, tmp_path, shell, request):
    write_files(page, tmp_path)
    for command in possible(page):
        if not command.startswith("python -m synth.run") or any(word in command for word in NOT_MADE):
            code = understood(command, shell)
        else:
            small = command
            for pattern, instead in SMALL:
                small = re.sub(pattern, instead, small)
            key = {}
            if "engine=openai" in command:
                server = request.getfixturevalue("openai_server")
                small, key = small.replace("http://127.0.0.1:8000/v1", server.base_url), {"OPENAI_API_KEY": server.key}
            code = shell(small, **key)
        assert code == 0, command


def test_every_call_of_the_notebook_is_a_run_that_can_be_planned(tmp_path, monkeypatch, capfd):
    monkeypatch.syspath_prepend(tmp_path)
    notebook = json.loads((ROOT / "docs" / "notebook" / "synth.ipynb").read_text())
    rows = Dataset.from_dict({name: ["What is tea?"] for name in ("id", "instruction", "response", "task", "input")})
    rows = rows.add_column("lineage", [[{"operation": "deepen", "text": "Why is tea?"}]]).add_column("words", [3])
    planned = []

    def planned_only(words):
        assert run.main(["dry_run=true", *words]) == 0, capfd.readouterr().err
        planned.append(words)
        return 0, []

    monkeypatch.setattr(importlib.import_module("synth.from_python"), "run_command", planned_only)
    monkeypatch.setattr("datasets.load_from_disk", lambda _: rows)
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "except" not in "".join(cell["source"]):
            exec("".join(cell["source"]), names)
    assert len(planned) == 6


def test_the_files_that_a_change_touches_are_there():
    text = (ROOT / "docs" / "CONTRIBUTING.md").read_text()
    table = text.partition("## What a change touches")[2].partition("\n## ")[0]
    named = [found for found in re.findall(r"`([a-z_/]+(?:\.py|/))`", table) if found != "synth/"]
    assert len(named) > 20
    for name in named:
        path = ROOT / name if name.startswith("conf/") else ROOT / "synth" / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), name
