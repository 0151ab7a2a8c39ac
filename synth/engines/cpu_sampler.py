"""vLLM's sampler on a CPU, for those rows and tokens only that it is about.

vLLM 0.32 draws noise for every token of every row when one row of a batch is sampled, and sorts the vocabulary of every
row when one has a top_p: of 64 rows and 49,152 tokens that takes 20 and 230 ms, where the model's own step takes 65.
Here greedy rows are left alone. Of a row with a top_p, nearly all tokens are so unlikely that all of them together are
below it: what is left is sorted, and only the few that stay are drawn from (benchmarks/sampler.py).

Promises: the tokens are those that vLLM's own sampler draws, with the same seeds; only of those at the edge of top_p
that are equally likely it may keep others. Before it is put in place it is
compared with that one, and left out where it differs, as it may by another version of vLLM. What it does not know
(min_p, logprobs of what was filtered) is vLLM's to do.

On a GPU sampling is a small part of a step, and vLLM has kernels for it.
"""

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

log = logging.getLogger(__name__)

GREEDY_BELOW = 1e-5  # temperatures, as in vLLM


def install() -> bool:
    """Put it in the place of vLLM's own, in this process. Returns whether it is there: False where it would not do the
    same."""
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
        log.warning("vLLM's sampler is another one than is known: sampled answers take longer on a CPU")
        return False
    Sampler.sample = sample
    return True


def knows(sampler: Any, metadata: Any, logprobs_mode: str | None) -> bool:
    """Whether a batch asks for nothing but temperatures, top_k and top_p."""
    mode = logprobs_mode or sampler.logprobs_mode
    filters = metadata.logitsprocs.argmax_invariant
    plain = all(getattr(one, "min_p_count", None) == 0 for one in filters)
    return plain and not sampler.use_fp64_gumbel and not mode.startswith("processed")


def draw(tokens: torch.Tensor, logits: torch.Tensor, metadata: Any) -> torch.Tensor:
    """The greedy `tokens` of a batch, with those of its sampled rows in their places."""
    # As many as vLLM draws, so that requests without a seed get what they would have got.
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
            kept = _kept(row, share, count)
            values = row[kept]
            row.fill(-np.inf)
            row[kept] = values
    tokens[sampled] = torch.ops._C.fused_gumbel_argmax(chosen, seeds[sampled])
    return tokens


def _kept(logits: NDArray[np.float32], share: float, count: int) -> NDArray[np.intp]:
    """The tokens that may be drawn, of a row of logits."""
    ids = None
    if count < len(logits):
        ids = np.flatnonzero(logits >= np.partition(logits, -count)[-count])
    return ids if share == 1 and ids is not None else _within(logits, share, ids)


def _within(logits: NDArray[np.float32], share: float, ids: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """The likeliest tokens, of `ids` or of all, that hold a `share` of the probability."""
    those = logits if ids is None else logits[ids]
    shifted = those - those.max()
    total = float(np.exp(shifted).sum(dtype=np.float64))
    # All that are less likely than this have no more than the rest of the share together; half of it, to be on the
    # safe side of what is rounded.
    found = np.flatnonzero(shifted > np.log(total * (1 - share) / (2 * len(those)), dtype=np.float32))
    order = found[np.argsort(shifted[found], kind="stable")]
    above = np.exp(shifted[order], dtype=np.float64) / total
    below = 1 - above.sum() + np.cumsum(above)
    first = min(int(np.searchsorted(below, np.float32(1) - np.float32(share), side="right")), len(order) - 1)
    kept = order[first:]
    return kept if ids is None else ids[kept]


def _draws_the_same(theirs: Any, ours: Any) -> bool:
    """Both on a small batch: greedy rows, sampled ones, with top_k and top_p."""
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
    except Exception as error:  # of a version that is made otherwise
        log.debug("vLLM's sampler can't be compared: %r", error)
        return False
