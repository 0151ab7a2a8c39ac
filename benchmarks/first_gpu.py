"""One measurement on one engine, for first_gpu.sh: a line of JSON is added to a file.

    python benchmarks/first_gpu.py batch --shape 8b --sequences 512
    python benchmarks/first_gpu.py invariance
    python benchmarks/first_gpu.py preemption --shape 8b --sequences 512 --kv-gib 8 --arm admission

Weights are dummies, of a Llama's shape: speed does not depend on what they say. `invariance` takes the demonstration
model, because its answers are compared.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from roofline import make

from synth.engines import Sampling, admission
from synth.engines.vllm import VLLM
from synth.models.model import Model

VOCABULARY = 2000  # of the ids in prompts: every shape has them
ANSWER = 256
ARMS: dict[str, dict[str, Any]] = {
    "as it comes": {"watermark": 0.0},
    "watermark 0.05": {"watermark": 0.05},
    "admission": {"watermark": 0.05},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("batch", "invariance", "preemption"))
    parser.add_argument("--shape", default="8b")
    parser.add_argument("--sequences", type=int, default=256)
    parser.add_argument("--batches", type=int, default=4, help="requests, as a multiple of the sequences")
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--no-seeds", action="store_true")
    parser.add_argument("--kv-gib", type=float)
    parser.add_argument("--arm", choices=ARMS, default="as it comes")
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    if given.what == "preemption" and given.arm != "admission":
        admission.WINDOW_S = float("inf")
    with tempfile.TemporaryDirectory(prefix="synth-gpu-") as scratch:
        measured = invariance if given.what == "invariance" else batch
        found = {"what": given.what} | asyncio.run(measured(given, Path(scratch)))
    print(json.dumps(found))
    if given.results:
        with given.results.open("a") as file:
            file.write(json.dumps(found) + "\n")


async def batch(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Tokens a second of requests that all come at once."""
    model = Model(path=str(make(scratch / "model", given.shape)), dtype="bfloat16", max_model_len=4096)
    extra = {"load_format": "dummy", "skip_tokenizer_init": True} | ARMS[given.arm]
    engine = VLLM(model=model, max_num_seqs=given.sequences, kv_cache_gib=given.kv_gib, extra=extra)
    started = await begun(engine)
    temperature = 0.0 if given.greedy else 1.0
    samplings = [
        Sampling(
            temperature=temperature,
            seed=None if given.no_seeds else number,
            max_tokens=ANSWER if given.what == "batch" else 4 * ANSWER,
            repetition_detection=None,
        )
        for number in range(given.batches * given.sequences)
    ]
    before, now = engine.stats(), time.perf_counter()
    answers = await asyncio.gather(
        *(engine.generate(prompt(number), sampling) for number, sampling in enumerate(samplings))
    )
    seconds, after = time.perf_counter() - now, engine.stats()
    await engine.stop()
    written = sum(len(answer.token_ids) for answer in answers)
    again = (after.recomputed or 0) - (before.recomputed or 0)
    drawn = "greedy" if given.greedy else "no seeds" if given.no_seeds else "seeds"
    name = given.arm if given.what == "preemption" else drawn
    return {
        "arm": f"{given.shape}, {given.sequences} sequences, {name}",
        "tokens/s": round(written / seconds),
        "start s": round(started, 1),
        "cache": after.cache_tokens,
        "preempted": (after.preempted or 0) - (before.preempted or 0),
        "again": round(again / max(1, again + written), 3),
    }


async def invariance(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """How many answers are the same alone and in a batch, and what the batch's pace is."""
    engine = VLLM(model=Model(path="demo"), max_num_seqs=256)
    started = await begun(engine)
    samplings = [Sampling(seed=number, max_tokens=128) for number in range(256)]
    now = time.perf_counter()
    together = await asyncio.gather(
        *(engine.generate(prompt(number), sampling) for number, sampling in enumerate(samplings))
    )
    seconds = time.perf_counter() - now
    same = 0
    for number in range(32):
        alone = await engine.generate(prompt(number), samplings[number])
        same += list(alone.token_ids) == list(together[number].token_ids)
    await engine.stop()
    how = "batch invariant" if os.environ.get("VLLM_BATCH_INVARIANT") == "1" else "as it comes"
    rate = round(sum(len(one.token_ids) for one in together) / seconds)
    return {"arm": f"demo, {how}", "tokens/s": rate, "start s": round(started, 1), "same alone": f"{same}/32"}


async def begun(engine: VLLM) -> float:
    """Seconds until it answers."""
    os.environ |= engine.placement(on_gpu=torch.cuda.is_available(), replicas_beside=0).env
    now = time.perf_counter()
    await engine.start()
    await engine.generate(prompt(0), Sampling(max_tokens=4))
    return time.perf_counter() - now


def prompt(number: int) -> Sequence[int]:
    numbers = random.Random(number)
    return [numbers.randrange(10, VOCABULARY) for _ in range(numbers.randrange(30, 120))]


if __name__ == "__main__":
    main()
