"""A run whose reward and embedding models are models of the run: fake ones, beside a simulated main."""

import subprocess
import sys

import pytest
from datasets import load_from_disk

from synth import inspect
from tests.documents import ROOT

pytestmark = pytest.mark.slow

STRATEGY = """
name: scored
models:
  reward: {path: demo, engine: {_target_: tests.pooling_engines.FakePooling}}
  embedder: {path: demo, replicas: 2, engine: {_target_: tests.pooling_engines.FakePooling, task: embed}}
magpie:
  _target_: synth.steps.magpie.Magpie
repeated:
  _target_: synth.quality.semantic_duplicate.SemanticDuplicate
  model: embedder
  min_distance: 0.02
reward:
  _target_: synth.quality.reward.Reward
  model: reward
floor:
  _target_: synth.quality.threshold.Threshold
  column: reward
  min: 100
steps: [magpie, repeated, reward, floor]
"""
WORDS = "+strategy=scored engine=simulated engine.tokens_per_second=2000 engine.median_tokens=40 num_records=40".split()


def run(folder, *words):
    (folder / "mine/strategy").mkdir(parents=True, exist_ok=True)
    (folder / "mine/strategy/scored.yaml").write_text(STRATEGY)
    command = [sys.executable, "-m", "synth.run", *WORDS, *words, "--config-dir", str(folder / "mine")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_rows_are_the_same_on_any_topology_and_the_models_are_told_by_what_they_read(tmp_path, capsys):
    made = {}
    for name, words in {"one": [], "two": ["cluster.replicas=2", "models.reward.replicas=3"]}.items():
        done = run(tmp_path, f"output_dir={tmp_path / name}", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        made[name] = load_from_disk(str(tmp_path / name / "dataset")).to_list()
    assert made["one"] == made["two"] and len(made["one"]) == 40
    assert min(row["reward"] for row in made["one"]) >= 100
    assert inspect.main([str(tmp_path / "one")]) == 0
    output = capsys.readouterr().out
    beside = output[output.index("models beside main") :].splitlines()
    (reward,) = [line.split() for line in beside if line.strip().startswith("reward")][:1]
    assert int(reward[1].replace(",", "")) > 1000 and reward[2] == "0"
    assert "semantic_duplicate" in output


def test_a_wrong_name_ends_the_run_before_anything_is_started(tmp_path):
    done = run(tmp_path, f"output_dir={tmp_path / 'run'}", "strategy.reward.model=rewrad")
    expected = "error: strategy.reward.model: there is no model 'rewrad' in this run; did you mean 'reward'?"
    assert (done.returncode, done.stderr.strip()) == (2, expected)
    assert not (tmp_path / "run").exists()
