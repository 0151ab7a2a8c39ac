"""A reward model by vLLM in batches beside the same one by transformers, one conversation after another.

    python benchmarks/reward.py [--records 200] [--dtype float32]

The model is SmolLM2-135M-Instruct (real_model.py) with a head of random weights in place of words: neither speed nor
rounding depends on what they say. Both have one thread for each of `--threads`, and take turns of a quarter of the
conversations each. Told are scores a second of one over the other's, and how far apart scores are: of vLLM and
transformers, and of vLLM alone and in a batch.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import torch
from real_model import real_model
from transformers import AutoTokenizer, LlamaForSequenceClassification

from synth.engines.start import start
from synth.engines.vllm_pooling import VLLMPooling
from synth.models.model import Model
from synth.quality.reward import SequenceClassifier

ALONE = 20
WORDS = "harbour lemon bridge winter copper violin market garden engine river pepper lantern".split()


def conversation(number: int) -> list[dict[str, str]]:
    """One of 30 to 120 words."""
    words = [WORDS[(number * 7 + place * 5) % len(WORDS)] for place in range(20 + number * 37 % 90)]
    return [
        {"role": "user", "content": f"Write {number} sentences about {' '.join(words[:10])}."},
        {"role": "assistant", "content": " ".join(words[10:])},
    ]


def with_head(folder: Path, dtype: torch.dtype) -> str:
    torch.manual_seed(0)
    model = LlamaForSequenceClassification.from_pretrained(real_model(), num_labels=1, dtype=dtype)
    torch.nn.init.normal_(model.score.weight, std=0.05)
    model.config.pad_token_id = model.config.eos_token_id
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(real_model()).save_pretrained(folder)
    return str(folder)


async def measure(path: str, records: int, threads: int) -> None:
    model = Model(path=path, max_model_len=1024)
    engine = VLLMPooling(model=model, max_num_seqs=64, kv_cache_gib=1, cpu_threads=threads)
    os.environ |= engine.placement(on_gpu=False, replicas_beside=0).env
    prompts = model.load_pooling_input()
    talks = [conversation(number) for number in range(records)]
    tokens = [prompts.conversation(talk, 1024) for talk in talks]
    by_transformers = SequenceClassifier(path=path, device="cpu", max_tokens=1024)
    await start(engine)
    try:
        torch.set_num_threads(threads)
        await asyncio.gather(engine.pool(tokens[0]), by_transformers.score(talks[0]))
        seconds = {"vllm": 0.0, "transformers": 0.0}
        one, other = [], []
        for begin in range(0, records, records // 4):
            turn = slice(begin, begin + records // 4)
            then = time.perf_counter()
            one += [float(given.values[0]) for given in await asyncio.gather(*map(engine.pool, tokens[turn]))]
            seconds["vllm"] += time.perf_counter() - then
            then = time.perf_counter()
            other += [await by_transformers.score(talk) for talk in talks[turn]]
            seconds["transformers"] += time.perf_counter() - then
        alone = [float((await engine.pool(prompt)).values[0]) for prompt in tokens[:ALONE]]
    finally:
        await engine.stop()
    print(f"conversations                                   {records:>10,}")
    print(f"tokens, mean                                    {sum(map(len, tokens)) / records:>10.0f}")
    print(f"scores a second, vLLM over transformers         {seconds['transformers'] / seconds['vllm']:>10.1f}")
    print(f"scores, from                                    {min(other):>10.3f}")
    print(f"scores, to                                      {max(other):>10.3f}")
    print(f"largest difference, vLLM and transformers       {_apart(one, other):>10.2g}")
    print(f"largest difference, vLLM alone and in a batch   {_apart(alone, one[:ALONE]):>10.2g}")


def _apart(one: list[float], other: list[float]) -> float:
    return max(abs(left - right) for left, right in zip(one, other, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(measure(with_head(Path(scratch), getattr(torch, given.dtype)), given.records, given.threads))
