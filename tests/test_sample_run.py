"""Many answers to one question on real parts: the shipped model, math-verify, and TRL to train on what came out."""

import asyncio
import dataclasses
import math

import pytest
from datasets import Dataset

from synth.configuration.column_types import type_from_text
from synth.engines.transformers import Transformers
from synth.models.model import Model
from synth.steps.pick import Pick
from synth.steps.sample import Sample
from synth.trials.side_by_side import SharedEngine
from synth.verifiers.mathematics import Math
from tests.steps.fakes import finish
from tests.strategies import composed, made
from tests.test_run_vllm import trained

pytestmark = pytest.mark.slow

# Of its answers to these, the model gives about 3 of 100 right.
SUMS = [(a, b) for a in range(11, 60, 9) for b in range(13, 70, 14)]
N = 16


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """All records of rejection_sampling, with the columns of its first step."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    source = {"instruction": [f"What is {a} + {b}?" for a, b in SUMS], "answer": [str(a + b) for a, b in SUMS]}
    words = ["strategy.sample.k=null", f"strategy.sample.n={N}", "strategy.sample.sampling.max_tokens=16"]

    async def answered():
        engine = Transformers(model=Model(path="demo", dtype="float32"), max_num_seqs=128, device="cpu")
        await engine.start()
        config = composed("rejection_sampling", folder, len(SUMS), source, "model.dtype=float32", *words)
        rows = await made(dataclasses.replace(config, engine=SharedEngine(engine)), folder, len(SUMS))
        await engine.stop()
        return rows

    rows = asyncio.run(answered())
    assert {row["reason"] for row in rows.rejected} == {"none_passed"}
    return rows.kept + rows.rejected


@pytest.fixture(scope="module")
def rows(drawn):
    """What is kept by each output, of the same answers."""

    def kept(output):
        pick = Pick(output=output)
        columns = {
            name: type_from_text(kind)
            for step in (Sample(verifier=Math()), pick)
            for name, kind in step.columns.items()
        }
        given = ["instruction", "candidates", "pass_rate", "verified_answer"]
        finished = [
            asyncio.run(finish(pick, record={name: row[name] for name in given}, columns=columns)) for row in drawn
        ]
        return Dataset.from_list([row for one in finished for row in one.kept])

    return {output: kept(output) for output in ("best", "pairs", "prompt")}


def test_every_kept_answer_is_the_known_one(rows):
    for row in rows["best"]:
        a, b = map(int, row["instruction"].removeprefix("What is ").rstrip("?").split(" + "))
        assert row["verified_answer"] == str(a + b) and str(a + b) in row["response"]
        verdicts = [one["verdict"] for one in row["candidates"]]
        assert len(verdicts) == N and row["pass_rate"] == verdicts.count("passed") / N


def test_a_pair_is_a_right_answer_beside_a_wrong_one(rows):
    for row in rows["pairs"]:
        verdicts = {one["text"]: one["verdict"] for one in row["candidates"]}
        assert verdicts[row["chosen"][0]["content"]] == "passed"
        assert verdicts[row["rejected"][0]["content"]] == "failed"


def test_trl_fine_tunes_on_the_answers_that_passed(rows, tmp_path):
    from trl import SFTConfig, SFTTrainer

    done = trained(SFTTrainer, SFTConfig, rows["best"].select_columns(["messages"]), tmp_path)
    assert done.global_step == 2 and math.isfinite(done.training_loss)


def test_trl_learns_from_pairs_of_a_passing_and_a_failing_answer(rows, tmp_path):
    from trl import DPOConfig, DPOTrainer

    pairs = rows["pairs"].select_columns(["prompt", "chosen", "rejected"])
    done = trained(DPOTrainer, DPOConfig, pairs, tmp_path)
    assert done.global_step == 2 and math.isfinite(done.training_loss)


def test_trl_rewards_answers_of_its_own_by_the_verified_one(rows, tmp_path):
    from trl import GRPOConfig, GRPOTrainer

    asked = []

    def right(completions, verified_answer, **_):
        asked.extend(verified_answer)
        said = [completion[0]["content"] for completion in completions]
        return [float(answer in text) for text, answer in zip(said, verified_answer, strict=True)]

    def config(**keys):
        return GRPOConfig(num_generations=2, max_completion_length=16, **keys)

    def trainer(**keys):
        return GRPOTrainer(reward_funcs=right, **keys)

    prompts = rows["prompt"].select_columns(["prompt", "verified_answer"])
    done = trained(trainer, config, prompts, tmp_path)
    assert done.global_step == 2 and math.isfinite(done.training_loss)
    assert asked and set(asked) <= {str(a + b) for a, b in SUMS}
