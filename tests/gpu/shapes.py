"""What the config.json of each preset's model says of its shape, as published on the Hub beside its weights.

No Hub is asked: a test writes them into folders. Only what decides memory, parallelism and kernels is here.
"""

import json
from pathlib import Path


def _config(architecture: str, **keys):
    family = architecture.removesuffix("ForCausalLM").removesuffix("ForConditionalGeneration")
    model_type = {"GptOss": "gpt_oss", "Qwen3Moe": "qwen3_moe", "Qwen3Next": "qwen3_next"}.get(family, family.lower())
    return {"architectures": [architecture], "model_type": model_type, "dtype": "bfloat16"} | keys


def _dense(architecture, hidden, layers, heads, kv_heads, width, vocabulary, context, **keys):
    return _config(
        architecture,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=width,
        vocab_size=vocabulary,
        max_position_embeddings=context,
        **keys,
    )


def _llama(hidden, layers, heads, width, *, tied=False, kv_heads=8, head_dim=128, factor=8.0):
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    given = {"head_dim": head_dim, "tie_word_embeddings": tied, "rope_parameters": rope}
    return _dense("LlamaForCausalLM", hidden, layers, heads, kv_heads, width, 128256, 131072, **given)


def _qwen3(hidden, layers, heads, width, tied, context=40960):
    return _dense(
        "Qwen3ForCausalLM", hidden, layers, heads, 8, width, 151936, context, head_dim=128, tie_word_embeddings=tied
    )


def _qwen3_moe(hidden, layers, heads, width, expert):
    given = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": expert, "norm_topk_prob": True}
    given |= {"head_dim": 128, "decoder_sparse_step": 1, "mlp_only_layers": [], "tie_word_embeddings": False}
    return _dense("Qwen3MoeForCausalLM", hidden, layers, heads, 4, width, 151936, 262144, **given)


def _gpt_oss(layers, experts):
    kinds = ["sliding_attention", "full_attention"] * (layers // 2)
    given = {"head_dim": 64, "num_local_experts": experts, "num_experts_per_tok": 4, "experts_per_token": 4}
    given |= {"sliding_window": 128, "layer_types": kinds, "quantization_config": {"quant_method": "mxfp4"}}
    given |= {"tie_word_embeddings": False, "swiglu_limit": 7.0, "rms_norm_eps": 1e-5, "hidden_act": "silu"}
    return _dense("GptOssForCausalLM", 2880, layers, 64, 8, 2880, 201088, 131072, **given)


def _gemma3_text(hidden, layers, heads, kv_heads, width, head_dim, window=1024, context=131072, vocabulary=262208):
    kinds = ["full_attention" if (place + 1) % 6 == 0 else "sliding_attention" for place in range(layers)]
    given = {"head_dim": head_dim, "sliding_window": window, "layer_types": kinds, "query_pre_attn_scalar": head_dim}
    return _dense("Gemma3ForCausalLM", hidden, layers, heads, kv_heads, width, vocabulary, context, **given) | {
        "model_type": "gemma3_text",
        "tie_word_embeddings": True,
    }


def _gemma3(*shape):
    text = {key: value for key, value in _gemma3_text(*shape).items() if key != "architectures"}
    vision = {"model_type": "siglip_vision_model", "hidden_size": 1152, "num_hidden_layers": 27}
    vision |= {"num_attention_heads": 16, "intermediate_size": 4304, "image_size": 896, "patch_size": 14}
    outer = {"text_config": text, "vision_config": vision, "mm_tokens_per_image": 256, "image_token_index": 262144}
    return _config("Gemma3ForConditionalGeneration", **outer) | {"model_type": "gemma3"}


_QWEN2 = {"head_dim": 128, "tie_word_embeddings": False, "use_sliding_window": False}
_LINEAR = {
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
}
_NEXT = _LINEAR | {"num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512, "head_dim": 256}
_NEXT |= {"shared_expert_intermediate_size": 512, "decoder_sparse_step": 1, "mlp_only_layers": []}
_NEXT |= {"norm_topk_prob": True, "tie_word_embeddings": False, "partial_rotary_factor": 0.25}
_LLAMA_8B, _LLAMA_70B = _llama(4096, 32, 32, 14336), _llama(8192, 80, 64, 28672)

SHAPES = {
    "deepseek-r1-distill-llama-70b": _LLAMA_70B,
    "deepseek-r1-distill-llama-8b": _LLAMA_8B,
    "deepseek-r1-distill-qwen-32b": _dense("Qwen2ForCausalLM", 5120, 64, 40, 8, 27648, 152064, 131072, **_QWEN2),
    "deepseek-r1-distill-qwen-7b": _dense("Qwen2ForCausalLM", 3584, 28, 28, 4, 18944, 152064, 131072, **_QWEN2),
    "gemma-3-12b-it": _gemma3(3840, 48, 16, 8, 15360, 256),
    "gemma-3-1b-it": _gemma3_text(1152, 26, 4, 1, 6912, 256, 512, 32768, 262144),
    "gemma-3-27b-it": _gemma3(5376, 62, 32, 16, 21504, 128),
    "gemma-3-4b-it": _gemma3(2560, 34, 8, 4, 10240, 256),
    "gpt-oss-120b": _gpt_oss(36, 128),
    "gpt-oss-20b": _gpt_oss(24, 32),
    "llama-3.1-8b-instruct": _LLAMA_8B,
    "llama-3.1-nemotron-70b-instruct": _LLAMA_70B,
    "llama-3.2-1b-instruct": _llama(2048, 16, 32, 8192, tied=True, head_dim=64, factor=32.0),
    "llama-3.2-3b-instruct": _llama(3072, 28, 24, 8192, tied=True, factor=32.0),
    "llama-3.3-70b-instruct": _LLAMA_70B,
    "qwen2.5-7b-instruct": _dense("Qwen2ForCausalLM", 3584, 28, 28, 4, 18944, 152064, 32768, **_QWEN2),
    "qwen3-0.6b": _qwen3(1024, 28, 16, 3072, True),
    "qwen3-1.7b": _qwen3(2048, 28, 16, 6144, True),
    "qwen3-14b": _qwen3(5120, 40, 40, 17408, False),
    "qwen3-235b-a22b-instruct-2507": _qwen3_moe(4096, 94, 64, 12288, 1536),
    "qwen3-30b-a3b-instruct-2507": _qwen3_moe(2048, 48, 32, 6144, 768),
    "qwen3-32b": _qwen3(5120, 64, 64, 25600, False),
    "qwen3-4b-thinking-2507": _qwen3(2560, 36, 32, 9728, True, 262144),
    "qwen3-4b": _qwen3(2560, 36, 32, 9728, True),
    "qwen3-8b": _qwen3(4096, 36, 32, 12288, False),
    "qwen3-next-80b-a3b-instruct": _dense("Qwen3NextForCausalLM", 2048, 48, 16, 2, 5120, 151936, 262144, **_NEXT),
    "smollm2-1.7b-instruct": _dense("LlamaForCausalLM", 2048, 24, 32, 32, 8192, 49152, 8192, tie_word_embeddings=True),
    "smollm2-135m-instruct": _dense("LlamaForCausalLM", 576, 30, 9, 3, 1536, 49152, 8192, tie_word_embeddings=True),
    "smollm3-3b": _dense("SmolLM3ForCausalLM", 2048, 36, 16, 4, 11008, 128256, 65536, tie_word_embeddings=True),
}


def write(folder: Path, preset: str) -> Path:
    """A folder with that config.json and no weights."""
    made = folder / preset
    made.mkdir(parents=True, exist_ok=True)
    (made / "config.json").write_text(json.dumps(SHAPES[preset]))
    return made
