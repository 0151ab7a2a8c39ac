"""The CPU build's sampler, beside vLLM's own: the same tokens for the same seeds, in any mix of a batch."""

import pytest
import torch

from synth.engines import cpu_sampler

vllm = pytest.importorskip("vllm")

from vllm.v1.sample.logits_processor import LogitsProcessors  # noqa: E402
from vllm.v1.sample.metadata import SamplingMetadata  # noqa: E402
from vllm.v1.sample.sampler import Sampler  # noqa: E402

from synth.engines.vllm_engine import is_cpu_build  # noqa: E402

pytestmark = pytest.mark.skipif(not is_cpu_build(), reason="the sampler of the CPU build")

VOCABULARY = 5000
THEIRS = Sampler.sample


@pytest.fixture
def ours(monkeypatch):
    monkeypatch.setattr(Sampler, "sample", THEIRS)  # comes back, whatever is put there
    assert cpu_sampler.install()
    return Sampler.sample


def batch(temperatures, top_p=None, top_k=None, seeded=True, step=0):
    rows = len(temperatures)
    sampled = [row for row in range(rows) if temperatures[row]]
    none = torch.empty(0)
    return SamplingMetadata(
        temperature=torch.tensor(temperatures),
        all_greedy=not sampled,
        all_random=len(sampled) == rows,
        top_p=None if top_p is None else torch.tensor(top_p),
        top_k=None if top_k is None else torch.tensor(top_k, dtype=torch.int32),
        generators={row: torch.Generator().manual_seed(100 * step + row) for row in sampled} if seeded else {},
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


def logits(rows, seed, dtype=torch.bfloat16):
    """As coarse as those of a model in bfloat16: many tokens are equally likely."""
    rng = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, VOCABULARY, generator=rng) * (1 + seed % 4)).to(dtype).to(torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    "kinds",
    [
        {"temperatures": [1.0] * 8},
        {"temperatures": [0.0, 0.7] * 4},
        {"temperatures": [0.8] * 8, "top_p": [0.9] * 8},
        {"temperatures": [0.0, 0.8, 1.3, 1.0] * 2, "top_p": [1.0, 0.9, 0.5, 1.0, 1.0, 0.1, 0.99, 1.0]},
        {"temperatures": [0.0, 1.0] * 4, "top_k": [VOCABULARY, 1, VOCABULARY, 7, VOCABULARY, 50, VOCABULARY, 400]},
        {"temperatures": [0.0, 1.0] * 4, "top_k": [VOCABULARY, 50] * 4, "top_p": [1.0, 0.9, 1.0, 0.3] * 2},
    ],
)
def test_tokens_are_those_of_vllms_own_sampler(ours, kinds, dtype):
    for step in range(60):
        rows = logits(8, step, dtype)
        asked = batch(**kinds, step=step)
        expected, _ = THEIRS(Sampler(), rows.clone(), asked)
        found, _ = ours(Sampler(), rows.clone(), batch(**kinds, step=step))
        for row in (expected != found).nonzero().view(-1).tolist():
            # Of tokens at the edge of top_p that are equally likely, vLLM's sort drops any.
            scaled = (rows[row] / asked.temperature[row]).numpy()
            count = VOCABULARY if asked.top_k is None else asked.top_k[row].item()
            edge = scaled[cpu_sampler.candidates(scaled, asked.top_p[row].item(), count)].min()
            assert min(scaled[expected[row]], scaled[found[row]]) == edge and dtype == torch.bfloat16


def test_requests_without_a_seed_draw_what_they_would_have_drawn(ours):
    rows, drawn = logits(8, 3), []
    for sample in (THEIRS, ours):
        torch.manual_seed(5)
        tokens, _ = sample(Sampler(), rows.clone(), batch([0.0, 1.0] * 4, seeded=False))
        drawn.append(tokens.tolist())
    assert drawn[0] == drawn[1]


def test_greedy_rows_are_as_if_alone(ours):
    rows = logits(4, 2)
    tokens, _ = ours(Sampler(), rows.clone(), batch([0.0, 1.0, 0.0, 1.0]))
    assert [tokens[0].item(), tokens[2].item()] == rows.argmax(dim=1)[[0, 2]].tolist()


def test_a_batch_with_a_filter_that_is_not_known_is_left_to_vllm(ours, monkeypatch):
    class MinP:
        min_p_count = 1

        def apply(self, logits):
            return logits

    asked = batch([1.0] * 4)
    asked.logitsprocs.argmax_invariant.append(MinP())
    monkeypatch.setattr(cpu_sampler, "draw", lambda *_: pytest.fail("not for us"))
    tokens, _ = ours(Sampler(), logits(4, 1), asked)
    assert len(tokens) == 4


def test_another_vllm_keeps_its_own_sampler(monkeypatch, caplog):
    def other(self, logits, metadata, logprobs_mode_override=None):
        return logits.argmin(dim=1), None

    monkeypatch.setattr(Sampler, "sample", other)
    assert not cpu_sampler.install()
    assert Sampler.sample is other
    assert "differs from the known version" in caplog.text
