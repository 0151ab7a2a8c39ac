"""Tokens per second on one GPU, beside what its memory and its arithmetic allow.

    python benchmarks/roofline.py [--shape 8b] [--records 2000] [--max-num-seqs 256]

The model has the shape of a Llama of 1 or 8 billion parameters and random weights: speed does not depend on what they
say. So lengths can't come from it: each record asks twice, as Magpie does, and each answer is as long as a log-normal
distribution says (--median-tokens, --sigma, as simulated_fit.py finds them). Synth's own worker runs it, and then the
same requests are sent all at once; both are compared with the roofline.

The roofline of decoding, for a full batch: a step reads all weights and the cache of each sequence, at `bandwidth`
bytes a second, and takes 2 operations for each weight and sequence, at `flops`; the longer of the two is its time
(Williams, Waterman and Patterson 2009). Prompts are left out, as they are short here.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from one_engine import Counted, composed, machine, options, synth, write_results

from synth.demo_model import PATH
from synth.engines.vllm import VLLM
from synth.models.model import Model
from synth.records import Record
from synth.steps.strategy import Step, Strategy

SHAPES = {  # layers, hidden, intermediate, heads, key-value heads, vocabulary
    "tiny": (2, 256, 688, 4, 2, 2048),
    "0.6b": (28, 1024, 3072, 16, 8, 151_936),
    "1b": (16, 2048, 8192, 32, 8, 128_256),
    "8b": (32, 4096, 14_336, 32, 8, 128_256),
}
DEVICES = {
    "H100": (3.35e12, 989e12),
    "H200": (4.8e12, 989e12),
    "B200": (8e12, 2250e12),
    "A100": (2.0e12, 312e12),
    "L40S": (0.86e12, 362e12),
}
BYTES = 2  # bfloat16
PROMPT = "Name one thing that a harbour needs, and say why."


def main() -> int:
    parser = options(__doc__, "roofline", max_num_seqs=256)
    parser.add_argument("--shape", choices=SHAPES, default="8b")
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--median-tokens", type=float, default=200)
    parser.add_argument("--sigma", type=float, default=0.7)
    parser.add_argument("--bandwidth", type=float, help="bytes a second; default: what is known of the GPU")
    parser.add_argument("--flops", type=float, help="operations a second in bfloat16")
    given = parser.parse_args()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    known = next((figures for device, figures in DEVICES.items() if device in name), (None, None))
    given.bandwidth, given.flops = given.bandwidth or known[0], given.flops or known[1]
    if given.bandwidth is None or given.flops is None:
        print(f"error: --bandwidth and --flops: not known of {name or 'this CPU'}", file=sys.stderr)
        return 2
    write_results(given, measure)
    return 0


async def measure(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    layers, hidden, intermediate, heads, kv_heads, vocabulary = SHAPES[given.shape]
    folder = make(scratch / "model", given.shape)
    model = Model(path=str(folder), name=given.shape, dtype="bfloat16", max_model_len=4096)
    head = hidden // heads
    layer = hidden * (2 * hidden + 2 * kv_heads * head) + 3 * hidden * intermediate
    weights = layers * layer + vocabulary * hidden  # the embedding is looked up, the output layer is read
    engine = Counted(
        VLLM(
            model=model,
            max_num_seqs=given.max_num_seqs,
            max_num_batched_tokens=8192,
            extra={"load_format": "dummy", "skip_tokenizer_init": True},
        ),
        weights,
    )
    await engine.begin()
    config = composed("magpie", given.records, scratch)
    step = Step("lengths", Lengths(given.median_tokens, given.sigma), {})
    config = replace(config, strategy=Strategy("lengths", [step]))
    results: dict[str, Any] = {"machine": machine(engine) | {"dtype": "bfloat16"}, "shape": given.shape, "arms": {}}
    for arm in ("synth", "limit") * 2:
        await engine.forget()
        if arm == "synth":
            await synth(config, engine, scratch / "run")
            requests = list(engine.requests)
        else:
            await asyncio.gather(*(engine.generate(*request) for request in requests))
        results["arms"].setdefault(arm, []).append(engine.summary())
    mean_context = sum(len(prompt) for prompt, _ in requests) / len(requests) + given.median_tokens / 2
    cache = 2 * layers * kv_heads * head * BYTES * mean_context
    step_s = max(
        (weights * BYTES + given.max_num_seqs * cache) / given.bandwidth, 2 * weights * given.max_num_seqs / given.flops
    )
    results["roofline_tokens_per_second"] = bound = given.max_num_seqs / step_s
    print(f"{results['machine']['processor']}, {weights:,} weights in bfloat16, {given.max_num_seqs} sequences")
    for arm, runs in results["arms"].items():
        for run in runs:
            print(f"{arm:8}{run['tokens_per_second']:10,.0f} tokens/s  {run['steady']:10,.0f} steady  "
                  f"{run['steady'] / bound:6.1%} of the roofline's {bound:,.0f}")  # fmt: skip
    await engine.end()
    return results


class Lengths:
    """A step: two answers in turn, each as long as the distribution says."""

    def __init__(self, median: float, sigma: float):
        self._median, self._sigma = median, sigma

    async def __call__(self, record: Record, llm: Any) -> Record:
        for _ in range(2):
            length = round(self._median * llm.rng.lognormvariate(0, self._sigma))
            await llm.chat(PROMPT, max_tokens=min(2048, max(1, length)))
        return record | {"instruction": PROMPT, "response": "made of random weights"}


def make(folder: Path, shape: str) -> Path:
    """A model folder without weights, with the demonstration model's tokenizer."""
    layers, hidden, intermediate, heads, kv_heads, vocabulary = SHAPES[shape]
    folder.mkdir(parents=True)
    for file in PATH.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((PATH / "config.json").read_text()) | {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return folder


if __name__ == "__main__":
    sys.exit(main())
