"""A faster sampler for vLLM on a CPU, which works only on the rows and tokens concerned.

If one row of a batch is sampled, vLLM 0.32 draws noise for every token of every row; if one row has a top_p, it sorts
the vocabulary of every row. For 64 rows and 49,152 tokens that takes 20 and 230 ms; the model's own step takes 65. Here
greedy rows are left alone. With a top_p, nearly all tokens are so unlikely that they are below it together: only the
rest is sorted and sampled (benchmarks/sampler.py).

Promises: the tokens are those of vLLM's own sampler with the same seeds; only among equally likely tokens at the edge
of top_p it may keep others. It is compared with vLLM's sampler before it is installed, and not installed if they
differ, which may happen with another version of vLLM. Batches with other parameters (min_p, logprobs of filtered
tokens) are passed to vLLM's sampler.

On a GPU sampling is a small part of a step, and vLLM has kernels for it.
"""

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

log = logging.getLogger(__name__)

GREEDY_BELOW = 1e-5  # temperature, as in vLLM


def install() -> bool:
    """Replace vLLM's sampler in this process. Returns whether it did: not if the results would differ."""
    from vllm.v1.sample.sampler import Sampler

    if getattr(Sampler.sample, "is_synth", False):
        return True
    theirs = Sampler.sample

    def sample(self: Any, logits: torch.Tensor, metadata: Any, logprobs_mode_override: Any = None) -> Any:
        if metadata.all_greedy or not knows(self, metadata, logprobs_mode_override):
            return theirs(self, logits, metadata, logprobs_mode_override)
        return draw(self.greedy_sample(logits), logits, metadata), None

    sample.is_synth = True  # type: ignore[attr-defined]
    if not _draws_the_same(theirs, sample):
        log.warning("vLLM's sampler differs from the known version: sampling on a CPU is slower")
        return False
    Sampler.sample = sample
    return True


def knows(sampler: Any, metadata: Any, logprobs_mode: str | None) -> bool:
    """Whether a batch uses only temperature, top_k and top_p."""
    mode = logprobs_mode or sampler.logprobs_mode
    filters = metadata.logitsprocs.argmax_invariant
    plain = all(getattr(one, "min_p_count", None) == 0 for one in filters)
    return plain and not sampler.use_fp64_gumbel and not mode.startswith("processed")


def draw(tokens: torch.Tensor, logits: torch.Tensor, metadata: Any) -> torch.Tensor:
    """The greedy `tokens` of a batch, with sampled tokens for its sampled rows."""
    # Draw as many numbers as vLLM, so that requests without a seed get the same ones.
    seeds = torch.randint(0, 2**31, (len(logits),), dtype=torch.long)
    for row, generator in metadata.generators.items():
        seeds[row] = torch.randint(0, 2**31, (1,), generator=generator, dtype=torch.long).item()
    sampled = (metadata.temperature >= GREEDY_BELOW).nonzero().view(-1)
    chosen = logits[sampled].div_(metadata.temperature[sampled].unsqueeze(1))
    rows, vocabulary = chosen.numpy(), logits.shape[1]
    shares = [1.0] * len(rows) if metadata.top_p is None else metadata.top_p[sampled].tolist()
    counts = [vocabulary] * len(rows) if metadata.top_k is None else metadata.top_k[sampled].tolist()
    for row, share, count in zip(rows, shares, counts, strict=True):
        if share < 1 or count < vocabulary:
            kept = candidates(row, share, count)
            values = row[kept]
            row.fill(-np.inf)
            row[kept] = values
    tokens[sampled] = torch.ops._C.fused_gumbel_argmax(chosen, seeds[sampled])
    return tokens


def candidates(logits: NDArray[np.float32], share: float, count: int) -> NDArray[np.intp]:
    """The ids of the tokens of a row of logits that top_p `share` and top_k `count` let through."""
    ids = None
    if count < len(logits):
        ids = np.flatnonzero(logits >= np.partition(logits, -count)[-count])
    return ids if share == 1 and ids is not None else _within(logits, share, ids)


def _within(logits: NDArray[np.float32], share: float, ids: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """The likeliest tokens, of `ids` or of all, with a total probability of `share`."""
    those = logits if ids is None else logits[ids]
    shifted = those - those.max()
    total = float(np.exp(shifted).sum(dtype=np.float64))
    # All tokens below this bound have at most the remaining probability together; half of it, as a margin for
    # rounding.
    found = np.flatnonzero(shifted > np.log(total * (1 - share) / (2 * len(those)), dtype=np.float32))
    order = found[np.argsort(shifted[found], kind="stable")]
    above = np.exp(shifted[order], dtype=np.float64) / total
    below = 1 - above.sum() + np.cumsum(above)
    first = min(int(np.searchsorted(below, np.float32(1) - np.float32(share), side="right")), len(order) - 1)
    kept = order[first:]
    return kept if ids is None else ids[kept]


def _draws_the_same(theirs: Any, ours: Any) -> bool:
    """Compare both on a small batch: greedy rows, sampled rows, with top_k and top_p."""
    from vllm.v1.sample.logits_processor import LogitsProcessors
    from vllm.v1.sample.metadata import SamplingMetadata
    from vllm.v1.sample.sampler import Sampler

    rows, vocabulary = 12, 1000
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(1)) * 4
    sampler = Sampler()

    def drawn(sample: Any) -> list[int]:
        metadata = SamplingMetadata(
            temperature=torch.tensor([0.0, 1.0, 0.7, 1.3] * 3),
            all_greedy=False,
            all_random=False,
            top_p=torch.tensor([1.0, 0.9, 0.5, 1.0] * 3),
            top_k=torch.tensor([vocabulary] * 8 + [20] * 4, dtype=torch.int32),
            generators={row: torch.Generator().manual_seed(row) for row in range(rows) if row % 4},
            max_num_logprobs=None,
            no_penalties=True,
            prompt_token_ids=None,
            frequency_penalties=torch.empty(0),
            presence_penalties=torch.empty(0),
            repetition_penalties=torch.empty(0),
            output_token_ids=[[] for _ in range(rows)],
            allowed_token_ids_mask=None,
            bad_words_token_ids={},
            logitsprocs=LogitsProcessors(),
        )
        tokens, _ = sample(sampler, logits.clone(), metadata)
        found: list[int] = tokens.tolist()
        return found

    try:
        return drawn(theirs) == drawn(ours)
    except Exception as error:  # another version of vLLM
        log.debug("vLLM's sampler can't be compared: %r", error)
        return False
