"""What a step's sampling costs on a CPU: vLLM's own sampler and Synth's (synth/engines/cpu_sampler.py), in turn.

    python benchmarks/sampler.py [--rows 64] [--vocabulary 49152] [--repeats 5]

Logits are as peaked as a language model's: normal, with a few likely tokens, in bfloat16 as they come from the model.
Each sampled row has a seed, as Synth's requests have. Times are the medians of a step, in milliseconds.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from machine import processor
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.sampler import Sampler

from synth.engines import cpu_sampler

THEIRS = Sampler.sample
CASES = {
    "all greedy": (0, 1.0, 1.0),
    "2 rows at temperature 1": (2, 1.0, 1.0),
    "2 rows at 0.8, top_p 0.9": (2, 0.8, 0.9),
    "all at temperature 1": (None, 1.0, 1.0),
    "all at 0.8, top_p 0.9": (None, 0.8, 0.9),
    "all at 0.8, top_p 0.99": (None, 0.8, 0.99),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "sampler.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cpu_sampler.install()
    shape = {name: getattr(given, name) for name in ("rows", "vocabulary", "threads")}
    told: dict[str, Any] = {"machine": processor(), **shape, "milliseconds": {}}
    print(f"{'':28}{'vLLM':>10}{'Synth':>10}{'the same tokens':>18}")
    for name, (sampled, temperature, top_p) in CASES.items():
        arms: dict[str, list[float]] = {"vllm": [], "synth": []}
        same = True
        for repeat in range(given.repeats):
            logits = like_a_model(given.rows, given.vocabulary, repeat)
            drawn = {}
            for arm, sample in (("vllm", THEIRS), ("synth", Sampler.sample)):
                asked = metadata(given.rows, given.rows if sampled is None else sampled, temperature, top_p)
                here = logits.clone()
                begun = time.perf_counter()
                drawn[arm], _ = sample(Sampler(), here, asked)
                arms[arm].append(1000 * (time.perf_counter() - begun))
            same = same and torch.equal(*drawn.values())
        medians = {arm: round(statistics.median(times), 2) for arm, times in arms.items()}
        told["milliseconds"][name] = medians | {"same": same}
        print(f"{name:28}{medians['vllm']:10.1f}{medians['synth']:10.1f}{'yes' if same else 'no':>18}", flush=True)
    given.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


def like_a_model(rows: int, vocabulary: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, vocabulary, generator=rng) * 2
    likely = torch.randint(0, vocabulary, (rows, 30), generator=rng)
    logits.scatter_(1, likely, 10 + 4 * torch.randn(rows, 30, generator=rng))
    return logits.to(torch.bfloat16).to(torch.float32)


def metadata(rows: int, sampled: int, temperature: float, top_p: float) -> SamplingMetadata:
    """The first rows are sampled, the others greedy."""
    greedy = rows - sampled
    none = torch.empty(0)
    return SamplingMetadata(
        temperature=torch.tensor([temperature] * sampled + [0.0] * greedy),
        all_greedy=not sampled,
        all_random=not greedy,
        top_p=torch.tensor([top_p] * sampled + [1.0] * greedy) if top_p < 1 and sampled else None,
        top_k=None,
        generators={row: torch.Generator().manual_seed(row) for row in range(sampled)},
        max_num_logprobs=None,
        no_penalties=True,
        prompt_token_ids=None,
        frequency_penalties=none,
        presence_penalties=none,
        repetition_penalties=none,
        output_token_ids=[[] for _ in range(rows)],
        allowed_token_ids_mask=None,
        bad_words_token_ids={},
        logitsprocs=LogitsProcessors(),
    )


if __name__ == "__main__":
    sys.exit(main())
