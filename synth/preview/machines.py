"""Describes the engines of a run on their machines: values of keys that are auto, cache capacity, and whether there are
enough records for all engines. Arithmetic only (synth/models/size.py); queries a GPU's driver for name and size, and
the Hub for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synth.configuration.config import Config
from synth.engines.cards import USUAL, Card, card, seen
from synth.engines.kernels import missing_kernels
from synth.engines.vllm_engine import CPU_KV_CACHE_GIB, VLLMEngine, is_cpu_build
from synth.models.model import Model
from synth.models.size import Size, size
from synth.steps.endpoints import MAIN

GIB = 2**30
GRAPHS_GIB = 1.0  # CUDA graphs and other memory beside weights, cache and activations


@dataclass(frozen=True)
class Cache:
    """An engine's cache: `tokens` of one sequence, or `sequences` of `length` tokens. Bytes are per GPU."""

    tokens: int
    sequences: int
    length: int
    size: Size
    room: float
    weights: float


def machine(config: Config) -> Card | None:
    """The GPU to compute with; None: a CPU."""
    if is_cpu_build():
        return None
    named = config.cluster.gpu
    return card(named) if named != "auto" else seen() or card(USUAL)


def chosen(config: Config, on: Card | None) -> dict[str, str]:
    """A line for values that are auto, and one for the cache."""
    lines: dict[str, list[str]] = {"auto": [], "cache": []}
    engines = {MAIN: (config.engine, config.model)} | {name: (p.engine, p.model) for name, p in config.pools.items()}
    for name, (engine, model) in engines.items():
        if not isinstance(engine, VLLMEngine):
            continue
        of = "" if name == MAIN else f"{name}: "
        auto = ", ".join(
            f"{key} {value:,}" for key, value in engine.chosen(on).items() if getattr(engine, key) == "auto"
        )
        if auto:
            lines["auto"].append(f"{of}{auto}: {_why(config, on)}")
        lines["cache"].append(of + _cache(config, name, engine, model, on))
    described = {key: f"\n{'':9} ".join(texts) for key, texts in lines.items() if texts}
    lacking = kernels(config)
    return described | ({"kernels": lacking} if lacking else {})


def kernels(config: Config) -> str | None:
    """Missing packages with kernels for its engines."""
    engines = [config.engine, *(pool.engine for pool in config.pools.values())]
    return missing_kernels(machine(config)) if any(isinstance(engine, VLLMEngine) for engine in engines) else None


def _why(config: Config, on: Card | None) -> str:
    if on is None:
        return "on a CPU"
    where = "this machine's" if on.is_here else "none is seen here" if config.cluster.gpu == "auto" else "cluster.gpu"
    return (
        f"defaults of vLLM's LLM on {on.name}, {on.gib:.0f} GiB ({where}), with as much memory as its overhead permits"
    )


def _cache(config: Config, name: str, engine: VLLMEngine, model: Model, on: Card | None) -> str:
    found = cache(engine, model, on, longest_call(config, name))
    if isinstance(found, str):
        return found
    gpus = engine.tensor_parallel_size * engine.pipeline_parallel_size
    each = f" on each of {gpus} GPUs" if gpus > 1 else ""
    if found.room <= 0:
        return (
            f"none: weights of {found.weights / GIB:.3g} GiB{each} and activations take all memory; "
            f"set engine.tensor_parallel_size={gpus * 2} to split them"
        )
    of = f"{found.room / GIB:.3g} GiB{each}" + ("" if on is None else f" beside {found.weights / GIB:.3g} of weights")
    at_once = engine.chosen(on)["max_num_seqs"]
    bound = "; answers of that length limit the batch, and cause preemption" if found.sequences < at_once else ""
    return (
        f"about {found.tokens:,} tokens in {of}: {found.sequences:,} sequences of {found.length:,} tokens (the longest "
        f"answer requested), for up to {at_once:,.0f} in a batch{bound}"
    )


def longest_call(config: Config, name: str) -> int | None:
    """The most tokens of an answer of this model; None if no step declares it."""
    engine_of = {one: served.engine_of for one, served in config.models.items()}
    asked = [
        call.max_tokens
        for step in config.strategy.steps
        for call in step.description.calls or ()
        if engine_of.get(call.model or step.model, call.model or step.model) == name
    ]
    return max(asked, default=None)


def cache(engine: VLLMEngine, model: Model, on: Card | None, length: int | None) -> Cache | str:
    """The capacity for sequences of so many tokens, or of the model's context if None; or why it is unknown."""
    if not model.is_here:
        return "unknown: the model's config.json is not on this machine yet"
    try:
        config = model.config
    except OSError:
        config = {}
    eight_bits = 1.0 if engine_key(engine, "kv_cache_dtype", "auto").startswith("fp8") else None
    whole = size(config, model.dtype, eight_bits)
    if whole is None:
        return "unknown: the model's config.json lacks its sizes"
    of = whole.on_each_of(engine.tensor_parallel_size, engine.pipeline_parallel_size)
    weights = stored(model) / engine.tensor_parallel_size / engine.pipeline_parallel_size or of.weights
    chosen = engine.chosen(on)
    if engine.kv_cache_gib is not None or on is None:
        room = (engine.kv_cache_gib or CPU_KV_CACHE_GIB) * GIB
    else:
        share = chosen["gpu_memory_utilization"]
        room = share * on.gib * GIB - weights - computed(of, chosen)
    longest = context(config, model)
    length = min(length or longest, longest)
    if room <= 0:
        return Cache(0, 0, length, of, room, weights)
    left = room - of.a_sequence - of.window * of.a_windows_token
    tokens = int(left / of.a_token) if of.a_token else 0
    return Cache(max(0, tokens), int(room / of.sequence(length)), length, of, room, weights)


def computed(of: Size, chosen: Mapping[str, float]) -> float:
    """Bytes of activations in a step: for its tokens, and twice a float32 row of the vocabulary for each sampled
    row."""
    rows = 8 * chosen["max_num_seqs"] * of.vocabulary
    return rows + 2 * chosen["max_num_batched_tokens"] * of.widest + GRAPHS_GIB * GIB


def context(config: Mapping[str, Any], model: Model) -> int:
    if isinstance(model.max_model_len, int):
        return model.max_model_len
    text = {**config, **config.get("text_config", {})}
    return int(text.get("max_position_embeddings") or 2048)


def stored(model: Model) -> float:
    """Bytes of the weights on this machine."""
    folder = model.folder
    files = [*folder.glob("model*.safetensors")] or [*folder.glob("*.safetensors")] if folder else []
    return sum(file.stat().st_size for file in files)


def engine_key(engine: VLLMEngine, name: str, otherwise: str) -> str:
    return str(getattr(engine, name, otherwise))


def too_small(config: Config, records: int) -> dict[str, str]:
    """A warning if there are too few records to fill the batches of all replicas."""
    replicas, at_once = config.cluster.replicas, config.engine.concurrency
    if isinstance(config.engine, VLLMEngine):
        at_once = int(config.engine.chosen(machine(config))["max_num_seqs"])
    if config.cluster.records_in_flight != "auto":
        at_once = min(at_once, config.cluster.records_in_flight)
    enough = max(1, -(-records // at_once))
    if replicas == "auto" or replicas <= enough:
        return {}
    gpus = config.engine.placement(False, 0).gpus
    machines = f"{replicas:,} replicas" + (f" of {gpus:g} GPU(s) each" if gpus else "")
    share = min(1.0, records / (replicas * at_once))
    return {
        "idle": f"{records:,} records fill {share:.1%} of the batches of {machines}, "
        f"{at_once:,} each; cluster.replicas={enough} is about as fast, and loads fewer models"
    }
