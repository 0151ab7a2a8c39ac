"""The main job on real parts: the shipped model, real vLLM, real Ray, and TRL to train on what came out."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset, load_from_disk

from synth.demo_model import PATH
from tests.documents import ROOT, commands

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def run(folder, *overrides, strategy="magpie"):
    command = [sys.executable, "-m", "synth.run", f"+strategy={strategy}", f"output_dir={folder}", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def one_replica(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    return folder, run(folder, "num_records=60")


def rows(folder):
    return load_from_disk(str(folder / "dataset")).to_list()


def test_one_command_makes_a_dataset_and_shows_where_it_is(one_replica):
    folder, done = one_replica
    assert len(rows(folder)) == 60
    assert f"The dataset is in {folder / 'dataset'}" in done.stdout.replace("\n", "")
    assert done.stdout.count(" user: ") == done.stdout.count(" assistant: ") == 3


def test_no_engine_or_cluster_log_reaches_the_terminal(one_replica):
    _, done = one_replica
    lines = done.stderr.splitlines()
    ours = ("starting ", "loading ", "kept ", "making ", "writing ", "cut by max_tokens")
    assert all(line.startswith(ours) for line in lines), done.stderr


def test_every_answer_ends_by_itself_and_holds_no_control_token(one_replica):
    for row in rows(one_replica[0]):
        assert row["finish_reason"] == "stop"
        assert row["instruction"] and row["response"]
        assert "<|im_" not in row["instruction"] + row["response"]


def test_two_replicas_make_the_same_conversations_as_one(one_replica, tmp_path):
    run(tmp_path / "two", "num_records=60", "cluster.replicas=2")
    one, two = rows(one_replica[0]), rows(tmp_path / "two")
    identity = [(row["id"], row["seed"]) for row in one]
    assert [(row["id"], row["seed"]) for row in two] == identity
    assert [row["messages"] for row in two] == [row["messages"] for row in one]


def test_readmes_way_to_a_filtered_dataset_works_as_written(tmp_path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    for command in [command for command in commands(ROOT / "README.md") if "magpie_filtered" in command]:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    assert load_dataset(str(tmp_path / "exported"), split="train").num_rows == 200
    assert (tmp_path / "runs" / "magpie_filtered" / "report.html").exists()


def trained(trainer, config, rows, folder):
    """Two steps of a trainer of TRL's on the demonstration model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = config(
        output_dir=str(folder),
        max_steps=2,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(PATH, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(PATH)
    return trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer).train()


def test_trl_fine_tunes_on_the_conversations(one_replica, tmp_path):
    from trl import SFTConfig, SFTTrainer

    conversations = load_from_disk(str(one_replica[0] / "dataset")).select_columns(["messages"])
    done = trained(SFTTrainer, SFTConfig, conversations, tmp_path)
    assert done.global_step == 2 and math.isfinite(done.training_loss)


def test_trl_learns_from_preference_pairs(tmp_path):
    from trl import DPOConfig, DPOTrainer

    run(tmp_path / "run", "num_records=4", "strategy.preference.ties=keep", strategy="preference")
    pairs = load_from_disk(str(tmp_path / "run/dataset")).select_columns(["prompt", "chosen", "rejected"])
    done = trained(DPOTrainer, DPOConfig, pairs, tmp_path)
    assert done.global_step == 2 and math.isfinite(done.training_loss)
