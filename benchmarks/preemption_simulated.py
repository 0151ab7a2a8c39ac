"""What a cache costs that does not hold the batch, on a pretended GPU: vLLM's own scheduler, time by arithmetic.

    python benchmarks/preemption_simulated.py [--requests 1500] [--batch 512] [--tokens 40000]

The scheduler of the installed vLLM decides which requests run, which lose their place and what is computed again. A
step takes as long as memory and arithmetic of the card say (as in roofline.py): all weights and the cache of each
sequence are read, and each token, of a prompt or an answer, takes two operations for each active weight. So it says
what preemption costs where tokens of prompts are cheap, as on a GPU; a step's own overhead is `--overhead`.
"""

import argparse
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from vllm import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from synth.engines import admission
from synth.engines.admission import Admission
from synth.engines.vllm import VLLM
from synth.models.model import Model

BLOCK = 16
BANDWIDTH, OPERATIONS = 3.35e12, 0.5 * 989e12  # of an H100; half of its peak
MODELS = {  # bytes of weights, active parameters, bytes of a token in the cache
    "qwen3-8b": (16.4e9, 8.2e9, 144 * 1024),
    "qwen3-30b-a3b": (61e9, 3.3e9, 96 * 1024),
}
ARMS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "watermark 0.05": {"watermark": 0.05},
    "watermark 0.2": {"watermark": 0.2},
    "admission": {"backs_off": True},
    "admission and watermark": {"backs_off": True, "watermark": 0.05},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=40_000, help="that the cache holds")
    parser.add_argument("--median", type=float, default=300)
    parser.add_argument("--longest", type=int, default=1500)
    parser.add_argument("--overhead", type=float, default=0.004, help="seconds of a step")
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "preemption_simulated.json")
    given = parser.parse_args()
    configured = VLLM(model=Model(path="demo", dtype="float32"), max_num_seqs=given.batch).configured()
    init_none_hash(sha256)
    told: dict[str, Any] = {"models": {}} | {k: v for k, v in vars(given).items() if k not in ("json", "arms")}
    for model in MODELS:
        print(f"{model:26}{'tokens/s':>10}{'preempted':>11}{'again':>8}{'running':>9}{'at once':>9}", flush=True)
        for arm in given.arms:
            found = simulated(given, configured, MODELS[model], **ARMS[arm])
            told["models"].setdefault(model, {})[arm] = found
            print(f"  {arm:24}{found['rate']:10,.0f}{found['preempted']:11,}{found['again']:8.1%}"
                  f"{found['running']:9,.0f}{found['at_once']:9,}", flush=True)  # fmt: skip
    given.json.write_text(json.dumps(told, indent=1) + "\n")


def simulated(
    given: argparse.Namespace,
    configured: Any,
    model: tuple[float, float, float],
    watermark: float = 0.0,
    backs_off: bool = False,
) -> dict[str, Any]:
    weights, active, a_token = model
    configured.scheduler_config.watermark = watermark
    configured.scheduler_config.enable_chunked_prefill = True
    configured.scheduler_config.async_scheduling = False
    configured.scheduler_config.max_num_batched_tokens = 8192
    configured.cache_config.num_gpu_blocks = given.tokens // BLOCK
    configured.cache_config.block_size = BLOCK
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
    cache = KVCacheConfig(given.tokens // BLOCK, [], [KVCacheGroupSpec(["layer"], spec)])
    scheduler = Scheduler(configured, cache, StructuredOutputManager(configured), BLOCK, log_stats=True)
    hasher = get_request_block_hasher(BLOCK, sha256)
    numbers = random.Random(0)
    waiting = []
    for number in range(given.requests):
        length = min(given.longest, max(8, round(given.median * numbers.lognormvariate(0, 0.7))))
        prompt = [numbers.randrange(2000) for _ in range(numbers.randrange(40, 160))]
        params = SamplingParams(max_tokens=length, ignore_eos=True)
        params.update_from_generation_config({}, None)
        waiting.append(Request(str(number), prompt, params, None, block_hasher=hasher))
    waiting.reverse()
    clock = SimpleNamespace(now=0.0)
    admission.WINDOW_S = 5.0 if backs_off else float("inf")
    gate = Admission(given.batch, lambda: clock.now)
    inside = generated = again = running = steps = preempted = 0
    while waiting or inside:
        while waiting and inside < gate.limit:
            scheduler.add_request(waiting.pop())
            inside += 1
        scheduled = scheduler.schedule()
        ids = list(scheduled.num_scheduled_tokens)
        context = sum(scheduler.requests[one].num_computed_tokens for one in ids)
        computed = scheduled.total_num_scheduled_tokens
        read, reckoned = (weights + context * a_token) / BANDWIDTH, 2 * active * computed / OPERATIONS
        clock.now += max(read, reckoned) + given.overhead
        ends = [scheduler.requests[one].num_computed_tokens >= scheduler.requests[one].num_tokens for one in ids]
        drawn = [[numbers.randrange(2000)] if end else [] for end in ends]
        output = ModelRunnerOutput(ids, {one: place for place, one in enumerate(ids)}, drawn)
        for outputs in scheduler.update_from_output(scheduled, output).values():
            for one in outputs.outputs:
                generated += len(one.new_token_ids)
                inside -= one.finish_reason is not None
                preempted += sum(event.type.name == "PREEMPTED" for event in one.events or ())
            if outputs.scheduler_stats:
                stats = outputs.scheduler_stats
                again += stats.prefix_cache_stats.preempted_queries - stats.prefix_cache_stats.preempted_hits
                gate._inside = inside
                gate.look(generated, again, stats.num_running_reqs, stats.kv_cache_usage)
        running, steps = running + len(ids), steps + 1
    return {
        "rate": generated / clock.now,
        "preempted": preempted,
        "again": again / (again + generated),
        "running": running / steps,
        "at_once": gate.limit,
    }


if __name__ == "__main__":
    main()
