"""What a cache costs that does not hold the batch: preemption as it comes, vLLM's watermark, and Synth's admission.

    python benchmarks/preemption.py [--requests 120] [--batch 48] [--tokens 4000] [--repeats 2]

The real model with a cache of few tokens; each request has a seed of its own, and all arms are asked the same. Arms in
turn, an engine each. `again` are tokens that were computed a second time, of all that were computed.
"""

import argparse
import asyncio
import hashlib
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

from machine import processor
from real_model import real_model

from synth.engines import Sampling, admission
from synth.engines.vllm import VLLM
from synth.models.model import Model
from synth.models.size import size

ARMS: dict[str, dict[str, Any]] = {
    "as it comes": {"backs_off": False},
    "watermark 0.05": {"backs_off": False, "watermark": 0.05},
    "admission": {"backs_off": True},
    "admission and watermark": {"backs_off": True, "watermark": 0.05},
    "a batch that fits": {"backs_off": False, "fits": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=120)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=4000, help="that the cache holds")
    parser.add_argument("--prompt", type=int, default=40)
    parser.add_argument("--answer", type=int, default=220)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--window", type=float, default=3.0, help="seconds of admission's, as short as the run")
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "preemption.json")
    given = parser.parse_args()
    told: dict[str, Any] = {"machine": processor(), "arms": {}}
    told |= {name: getattr(given, name) for name in ("requests", "batch", "tokens", "prompt", "answer", "window")}
    print(f"{'':24}{'tokens/s':>10}{'preempted':>11}{'again':>8}{'at once':>9}  answers", flush=True)
    for _ in range(given.repeats):
        for name in given.arms:
            found = asyncio.run(measured(given, **ARMS[name]))
            told["arms"].setdefault(name, []).append(found)
            print(
                f"{name:24}{found['rate']:10,.0f}{found['preempted']:11,}{found['again']:8.1%}{found['at_once']:9}"
                f"  {found['answers']}",
                flush=True,
            )
    for name, runs in told["arms"].items():
        print(f"{name:24}{statistics.median(run['rate'] for run in runs):10,.0f}  median of {given.repeats}")
    given.json.write_text(json.dumps(told, indent=1) + "\n")


async def measured(
    given: argparse.Namespace, *, backs_off: bool, watermark: float = 0.0, fits: bool = False
) -> dict[str, Any]:
    admission.WINDOW_S = given.window if backs_off else float("inf")
    longest = given.prompt + given.answer + 8
    model = Model(path=str(real_model()), max_model_len=longest)
    whole = size(model.config, model.dtype)
    assert whole is not None
    batch = given.tokens // (given.prompt + given.answer) if fits else given.batch
    engine = VLLM(
        model=model,
        max_num_seqs=batch,
        kv_cache_gib=given.tokens * whole.a_token / 2**30,
        extra={"watermark": watermark},
    )
    await engine.start()
    numbers = random.Random(0)
    prompts = [[numbers.randrange(1000, 40000) for _ in range(given.prompt)] for _ in range(given.requests)]
    await engine.generate(prompts[0], Sampling(max_tokens=4))
    before, begun = engine.stats(), time.perf_counter()
    drawn = [
        engine.generate(prompt, Sampling(seed=number, max_tokens=given.answer, repetition_detection=None))
        for number, prompt in enumerate(prompts)
    ]
    answers = await asyncio.gather(*drawn)
    seconds, after = time.perf_counter() - begun, engine.stats()
    await engine.stop()
    written = sum(len(answer.token_ids) for answer in answers)
    again = (after.recomputed or 0) - (before.recomputed or 0)
    spelled = json.dumps([list(answer.token_ids) for answer in answers]).encode()
    return {
        "rate": written / seconds,
        "written": written,
        "preempted": (after.preempted or 0) - (before.preempted or 0),
        "again": again / (written + again),
        "at_once": after.at_once,
        "answers": hashlib.sha256(spelled).hexdigest()[:8],
    }


if __name__ == "__main__":
    main()
