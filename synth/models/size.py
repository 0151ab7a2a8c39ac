"""Computes the memory of a model from its config.json: its weights, and the KV cache of a sequence. Loads nothing.

Supports full and sliding-window attention, latent attention (MLA), linear attention and state spaces, which take
constant memory per sequence; dense layers and mixtures of experts. Missing values of a config.json default to those of
the first models of the kind. Accurate to a few per cent: engines round to blocks, and have buffers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_BITS = {"mxfp4": 4.25, "fp8": 8, "compressed-tensors": 8, "modelopt": 8, "awq": 4.5, "gptq": 4.5, "bitsandbytes": 4.5}
_STATES = ("linear_attention", "mamba", "mamba2", "linear", "m")
_SLIDING = ("sliding_attention", "chunked_attention")
_HOLDS_NOTHING = ("mlp", "moe", "-", "e")


@dataclass(frozen=True)
class Size:
    """In bytes. `weights` are all weights; `a_token` is the cache of a token in layers with full attention,
    `a_windows_token` in layers that keep the last `window` tokens; `a_sequence` is constant per sequence. `widest` is
    the number of activations per token, `vocabulary` that of a sampled token. `kv_heads` are divided among GPUs; None:
    each GPU keeps what all heads share."""

    weights: float
    a_token: float
    a_windows_token: float
    window: int
    a_sequence: float
    kv_heads: int | None
    widest: int
    vocabulary: int

    def on_each_of(self, tensor: int, pipeline: int = 1) -> "Size":
        """The share of one of these GPUs."""
        split = 1 if self.kv_heads is None else min(tensor, self.kv_heads)
        return replace(
            self,
            weights=self.weights / tensor / pipeline,
            a_token=self.a_token / split / pipeline,
            a_windows_token=self.a_windows_token / split / pipeline,
            a_sequence=self.a_sequence / tensor / pipeline,
        )

    def sequence(self, tokens: int) -> float:
        return tokens * self.a_token + min(tokens, self.window) * self.a_windows_token + self.a_sequence


def size(config: Mapping[str, Any], dtype: str = "auto", kv_bytes: float | None = None) -> Size | None:
    """For a model's config.json; None if that is incomplete. `kv_bytes` is the size of a number in the cache, if it
    differs from that of the model's `dtype`."""
    text = {**config, **config.get("text_config", {})}
    try:
        return _size(text, dtype, kv_bytes)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _size(text: Mapping[str, Any], dtype: str, kv_bytes: float | None) -> Size:
    stored = text.get("dtype") or text.get("torch_dtype") or "bfloat16"
    if dtype == "auto":
        dtype = "bfloat16" if stored == "float32" else str(stored)  # like vLLM
    number = _BYTES.get(dtype, 2)
    hidden, layers, heads = text["hidden_size"], text["num_hidden_layers"], text["num_attention_heads"]
    kv_heads = text.get("num_key_value_heads") or heads
    head = text.get("head_dim") or hidden // heads
    kinds = _kinds(text, layers)
    sliding = sum(kind in _SLIDING for kind in kinds)
    states = sum(kind in _STATES for kind in kinds)
    full = layers - sliding - states - sum(kind in _HOLDS_NOTHING for kind in kinds)
    each = 2 * kv_heads * head
    attention = hidden * head * (2 * heads + 2 * kv_heads)
    latent = text.get("kv_lora_rank")
    if latent:
        rope, plain, value = text["qk_rope_head_dim"], text["qk_nope_head_dim"], text["v_head_dim"]
        each = latent + rope
        queries = text.get("q_lora_rank")
        attention = hidden * each + latent * heads * (plain + value) + heads * value * hidden
        attention += (hidden + heads * (plain + rope)) * queries if queries else hidden * heads * (plain + rope)
    state, linear = _state(text)
    dense, experts, widest = _feed_forward(text, hidden, layers)
    embeddings = text["vocab_size"] * hidden * (1 if text.get("tie_word_embeddings", False) else 2)
    quantized = text.get("quantization_config") or {}
    weight = _BITS.get(str(quantized.get("quant_method", "")).lower(), 8 * number) / 8
    inner = (full + sliding) * attention + states * linear + dense
    # MXFP4 applies to the experts only.
    inner *= number if quantized.get("quant_method") == "mxfp4" else weight
    return Size(
        weights=embeddings * number + inner + experts * weight,
        a_token=full * each * (kv_bytes or number),
        a_windows_token=sliding * each * (kv_bytes or number),
        window=text.get("sliding_window") or 0,
        a_sequence=states * state * number,
        kv_heads=None if latent else kv_heads,
        widest=widest + 4 * hidden,
        vocabulary=text["vocab_size"],
    )


def _kinds(text: Mapping[str, Any], layers: int) -> list[str]:
    """The type of each layer, as named in config.json."""
    if types := text.get("layer_types") or text.get("layers_block_type"):
        return [str(one).lower() for one in types]
    if pattern := text.get("hybrid_override_pattern"):  # Nemotron-H: M a state space, * attention, - an MLP, E experts
        return [one.lower() if one in "M-E" else "full_attention" for one in pattern]
    if every := text.get("full_attention_interval"):
        return ["linear_attention" if (place + 1) % every else "full_attention" for place in range(layers)]
    every = text.get("sliding_window_pattern")
    if every and text.get("sliding_window"):
        return ["sliding_attention" if (place + 1) % every else "full_attention" for place in range(layers)]
    is_sliding = text.get("sliding_window") and text.get("use_sliding_window", "mistral" in text.get("model_type", ""))
    return ["sliding_attention" if is_sliding else "full_attention"] * layers


def _state(text: Mapping[str, Any]) -> tuple[float, float]:
    """Numbers that a layer without attention keeps per sequence, and its parameters."""
    hidden = text["hidden_size"]
    if "linear_num_value_heads" in text:
        keys = text["linear_num_key_heads"] * text["linear_key_head_dim"]
        values = text["linear_num_value_heads"] * text["linear_value_head_dim"]
        mixed = 2 * keys + values
        state = text["linear_num_value_heads"] * text["linear_key_head_dim"] * text["linear_value_head_dim"]
        return state + mixed * (text.get("linear_conv_kernel_dim", 4) - 1), hidden * (mixed + 2 * values)
    if "mamba_num_heads" in text:
        inner = text["mamba_num_heads"] * text["mamba_head_dim"]
        groups = text.get("n_groups", 1) * text.get("ssm_state_size", 128)
        state = inner * text.get("ssm_state_size", 128) + (inner + 2 * groups) * (text.get("conv_kernel", 4) - 1)
        return state, hidden * (3 * inner + 2 * groups)
    return 0.0, 0.0


def _feed_forward(text: Mapping[str, Any], hidden: int, layers: int) -> tuple[float, float, int]:
    """Parameters outside and inside experts, and the number of activations per token."""
    width = text.get("intermediate_size") or 0
    experts = text.get("num_experts") or text.get("num_local_experts") or text.get("n_routed_experts")
    if not experts:
        return 3.0 * hidden * width * layers, 0.0, 2 * width
    expert = text.get("moe_intermediate_size") or width
    at_once = text.get("num_experts_per_tok") or text.get("experts_per_token") or 1
    plain = set(text.get("mlp_only_layers") or range(text.get("first_k_dense_replace") or 0))
    mixed = math.ceil((layers - len(plain)) / (text.get("decoder_sparse_step") or 1))
    shared = text.get("shared_expert_intermediate_size") or expert * (text.get("n_shared_experts") or 0)
    dense = 3.0 * hidden * (width * (layers - mixed) + shared * mixed)
    return dense, 3.0 * hidden * expert * experts * mixed, 2 * (expert * at_once + shared)
