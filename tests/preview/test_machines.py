"""What a plan says of machines: what auto is there, what the cache holds, and whether there is work for all."""

import pytest

from synth.engines import vllm_engine
from synth.engines.cards import card
from synth.engines.vllm import VLLM
from synth.models.model import Model
from synth.models.size import size
from synth.preview import machines
from synth.preview.machines import cache
from synth.run import main
from tests.gpu.shapes import SHAPES, write

GIB = 2**30


@pytest.fixture
def on_gpus(monkeypatch):
    """As where vLLM's build for GPUs is installed."""
    for module in (vllm_engine, machines):
        monkeypatch.setattr(module, "is_cpu_build", lambda: False)


def printed(capsys, *words):
    assert main(["+strategy=magpie", "dry_run=true", *words]) == 0
    return dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("preset", "billions", "kib"),
    [
        ("qwen3-8b", 8.19, 144),
        ("llama-3.3-70b-instruct", 70.6, 320),
        ("qwen3-30b-a3b-instruct-2507", 30.5, 96),
        ("qwen3-235b-a22b-instruct-2507", 235, 188),
        ("gemma-3-27b-it", 27.0, 80),
        ("smollm2-135m-instruct", 0.1345, 22.5),
        ("qwen3-next-80b-a3b-instruct", 80, 24),
    ],
)  # fmt: skip
def test_the_size_of_a_model_is_what_its_makers_say(preset, billions, kib):
    found = size(SHAPES[preset])
    assert found.weights / 2e9 == pytest.approx(billions, rel=0.03)
    assert found.a_token / 1024 == kib


def test_experts_in_four_bits_are_as_large_as_published():
    assert size(SHAPES["gpt-oss-120b"]).weights == pytest.approx(65e9, rel=0.03)
    assert size(SHAPES["gpt-oss-20b"]).weights == pytest.approx(13.8e9, rel=0.05)


def test_latent_attention_keeps_one_vector_for_all_heads():
    v3 = {"hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128}
    v3 |= {"kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
    v3 |= {"n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048}
    v3 |= {"intermediate_size": 18432, "first_k_dense_replace": 3, "vocab_size": 129280}
    found = size(v3 | {"quantization_config": {"quant_method": "fp8"}})
    assert found.a_token == 61 * 576 * 2 == found.on_each_of(8).a_token
    assert found.weights == pytest.approx(671e9, rel=0.02)


def test_a_window_and_a_state_take_no_more_of_a_longer_sequence():
    gemma, following = size(SHAPES["gemma-3-27b-it"]), size(SHAPES["qwen3-next-80b-a3b-instruct"])
    assert gemma.sequence(9000) - gemma.sequence(8000) == 1000 * gemma.a_token
    assert gemma.sequence(500) == 500 * (gemma.a_token + gemma.a_windows_token)
    assert following.sequence(0) == following.a_sequence > 0


def test_the_cache_holds_what_was_reckoned_for_an_h100(tmp_path, on_gpus):
    """Qwen3-8B at 0.9: 388,000 tokens; Qwen3-30B-A3B 125,000: by the arithmetic of vLLM's own profile."""
    for preset, tokens in (("qwen3-8b", 388_000), ("qwen3-30b-a3b-instruct-2507", 125_000)):
        model = Model(path=str(write(tmp_path, preset)))
        found = cache(VLLM(model=model, gpu_memory_utilization=0.9), model, card("H100"), 2048)
        assert found.tokens == pytest.approx(tokens, rel=0.1), preset
        assert found.sequences == pytest.approx(tokens / 2048, rel=0.1)


def test_a_plan_says_what_auto_is_on_a_gpu_and_what_its_cache_holds(capsys, on_gpus, tmp_path, monkeypatch):
    words = ["cluster.gpu=H200", "cluster.replicas=2", "num_records=2500"]
    lines = printed(capsys, *words)
    assert lines["auto"].startswith(
        "max_num_seqs 1,024, max_num_batched_tokens 16,384, gpu_memory_utilization 0.95: defaults of vLLM's LLM on "
        "H200, 140 GiB (cluster.gpu)"
    )
    assert "sequences of 2,048 tokens (the longest answer requested), for up to 1,024 in a batch" in lines["cache"]
    assert "idle" not in lines
    assert "(none is seen here)" in printed(capsys)["auto"]


def test_weights_that_fill_a_gpu_are_told_with_the_key_that_splits_them(tmp_path, on_gpus):
    model = Model(path=str(write(tmp_path, "llama-3.3-70b-instruct")))
    assert cache(VLLM(model=model), model, card("H100"), 2048).room < 0
    assert cache(VLLM(model=model, tensor_parallel_size=4), model, card("H100"), 2048).tokens > 400_000


def test_a_cpus_cache_is_the_one_that_is_configured(capsys):
    lines = printed(capsys, "engine.kv_cache_gib=1")
    assert lines["auto"] == "max_num_seqs 256, max_num_batched_tokens 8,192: on a CPU"
    assert lines["cache"].startswith("about 524,288 tokens in 1 GiB: 256 sequences of 2,048 tokens")


def test_work_that_is_too_small_for_the_machines_is_said(capsys, on_gpus):
    lines = printed(capsys, "num_records=200", "cluster.replicas=64", "cluster.gpu=H100")
    assert lines["idle"].startswith(
        "200 records fill 0.3% of the batches of 64 replicas of 1 GPU(s) each, 1,024 each; "
    )
    assert "cluster.replicas=1 is about as fast" in lines["idle"]


def test_a_gpu_that_nobody_knows_is_refused_with_those_that_are(capsys):
    assert main(["+strategy=magpie", "dry_run=true", "cluster.gpu=H1000"]) == 2
    assert "cluster.gpu: must be auto, one of H100, H200" in capsys.readouterr().err
