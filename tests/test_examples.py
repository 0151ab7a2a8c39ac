"""docs/examples: each file, copied as its README says, is planned or run."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

from synth import from_python, run
from synth.pilot import __main__ as pilot
from tests.documents import EXAMPLES, look_like_the_checkout

STRATEGIES = sorted(path.stem for path in (EXAMPLES / "strategy").glob("*.yaml"))


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder that looks like the checkout, with the examples copied to `mine`."""
    look_like_the_checkout(tmp_path)
    subprocess.run(["cp", "-r", str(EXAMPLES), "mine"], check=True)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "mine"
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def planned(words: list[str]) -> int:
    return run.main([*words, "dry_run=true"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_of_the_examples_can_be_planned(strategy, mine, capfd):
    assert planned(["--config-dir", "mine", f"+strategy={strategy}"]) == 0, capfd.readouterr().err


def test_the_examples_source_is_one_of_the_hub_with_a_renamed_column(mine):
    from synth.configuration.composition import OmegaConf

    keys = OmegaConf.to_container(OmegaConf.load(mine / "source" / "alpaca.yaml"))
    module, _, name = keys.pop("_target_").rpartition(".")
    source = getattr(importlib.import_module(module), name)(**keys)
    assert source.name == "tatsu-lab/alpaca" and dict(source.columns) == {"reference": "output"}


def test_the_examples_pipeline_can_be_planned(mine, monkeypatch, capfd):
    pipeline = importlib.import_module("mine.pipeline").PIPELINE
    words: list[str] = []
    monkeypatch.setattr(from_python, "run_command", lambda given: (words.extend(given), (from_python.DONE, []))[1])
    monkeypatch.setattr("datasets.load_from_disk", lambda path: path)
    assert from_python.generate(pipeline, num_records=50, output_dir="runs/toned") == "runs/toned/dataset"
    assert planned(words) == 0, capfd.readouterr().err


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ({"messages": [[{"role": "user", "content": "Hi"}]] * 2, "finish_reason": ["stop", "length"]}, ["messages"]),
        ({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"], "seed": [1]}, ["prompt", "chosen", "rejected"]),
        ({"prompt": ["a"], "verified_answer": ["7"], "seed": [1]}, ["prompt", "verified_answer"]),
    ],
)
def test_the_export_for_trl_has_one_whole_row_of_the_columns_that_a_trainer_reads(rows, columns, mine):
    Dataset.from_dict(rows).save_to_disk("runs/a/dataset")
    command = [sys.executable, "-m", "mine.export_for_trl", "runs/a", "out.parquet"]
    env = os.environ | {"HF_HOME": "home", "PYTHONPATH": str(mine.parent)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = load_dataset("parquet", data_files="out.parquet", split="train", cache_dir="cache")
    assert written.column_names == columns and len(written) == 1


def test_each_line_of_the_grid_can_be_planned(mine, capfd):
    lines = [line for line in (mine / "grid.sh").read_text().splitlines() if line.startswith("python")]
    (_, _, door, *trials), (_, _, other, *runs) = [shlex.split(line.replace('"$@"', "")) for line in lines]
    assert (door, other) == ("synth.pilot", "synth.run")
    assert pilot.main([*trials, "dry_run=true"]) == 0, capfd.readouterr().err
    assert planned(runs) == 0, capfd.readouterr().err


def test_the_slurm_example_submits_an_array_that_can_be_planned_and_a_merge_after_it(mine, capfd):
    sbatch = Path("bin/sbatch")
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done >>submitted; echo >>submitted; echo 17\n')
    sbatch.chmod(0o755)
    env = os.environ | {"PATH": f"{sbatch.parent.resolve()}:{os.environ['PATH']}"}
    subprocess.run(["bash", "mine/submit.sh"], env=env, check=True)
    array, merge = (job.splitlines() for job in Path("submitted").read_text().split("\n\n") if job)
    script = array.index("slurm/array.sbatch")
    assert Path(array[script]).exists()
    assert planned([*array[script + 1 :], "slice=0/8"]) == 0, capfd.readouterr().err
    folder = next(word.partition("=")[2] for word in array if word.startswith("output_dir="))
    assert merge[0] == "--dependency=afterok:17" and merge[-1].endswith(f"synth.merge {folder}")


@pytest.mark.parametrize("text", ["As an AI I can't.", "I am a Language Model."])
def test_the_examples_filter_rejects_an_unwanted_phrase_while_it_is_written(text, mine):
    phrases = importlib.import_module("mine.own_filter").Phrases()
    assert phrases.doomed({"response": text}, left=100).reason == "unwanted_phrase"
    assert phrases({"response": "Tea."}, None) == {"response": "Tea."}


def test_the_examples_reward_prefers_the_length_that_is_asked_for(mine):
    reward = importlib.import_module("mine.own_reward").Brevity(words=2)
    score = {text: reward.score([{"role": "assistant", "content": text}]) for text in ("one two", "one two three", "")}
    assert max(score, key=score.get) == "one two"


def test_the_readme_of_the_examples_names_each_file():
    named = set(re.findall(r"\]\(([^)#]+)\)", (EXAMPLES / "README.md").read_text()))
    files = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".yaml", ".sh")}
    assert files and files <= named
