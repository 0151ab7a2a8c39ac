"""Checks arguments of vLLM's engine that a user sets under `engine.extra`: which exist, which are not allowed there,
and which don't change the data.

Read from the source of the installed vLLM in 60 ms: importing it takes seconds, and would load torch just to check a
configuration.
"""

import ast
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synth.errors import nearest

_REFUSED = {
    "trust_remote_code": "a model's own code is not run",
    "hf_token": "put the secret into the environment, as HF_TOKEN",  # all keys are written into the run's folder
}
# Several engines behind one address are replicas, each of which needs a process and GPUs of its own.
_ONE_ENGINE = ("data_parallel_size", "data_parallel_size_local", "data_parallel_rank", "data_parallel_start_rank")
# These would take unreserved GPUs, or are decided by Ray.
_GPUS = ("prefill_context_parallel_size", "nnodes", "node_rank", "master_addr", "master_port")

# These affect speed, memory, logs or how weights are read. Kernels and graphs do change numbers.
RUNTIME_ONLY = frozenset(
    f"extra.{name}"
    for name in (
        "async_scheduling cpu_offload_gb disable_log_stats download_dir kv_cache_memory_bytes kv_offloading_backend "
        "kv_offloading_size max_parallel_loading_workers num_gpu_blocks_override numa_bind numa_bind_cpus "
        "numa_bind_nodes safetensors_load_strategy safetensors_prefetch_block_size safetensors_prefetch_num_threads "
        "scheduler_reserve_full_isl stream_interval use_tqdm_on_load watermark"
    ).split()
)


def refusal(extra: Mapping[str, Any], own: Collection[str]) -> str | None:
    """`extra.KEY: problem` for the first argument that is not allowed; `own` are the engine's own keys."""
    known = arguments()
    for name, value in extra.items():
        if name in _REFUSED and value:
            return f"extra.{name}: {_REFUSED[name]}"
        if name in own:
            return f"extra.{name}: is a key of the engine itself: set engine.{name}"
        if name in _ONE_ENGINE and value not in (None, 0, 1):
            return f"extra.{name}: each replica is one engine; set cluster.replicas=N instead"
        if name in _GPUS and value not in (None, 0, 1):
            return f"extra.{name}: set engine.tensor_parallel_size and engine.pipeline_parallel_size instead"
        if known and name not in known:
            return f"extra.{name}: vLLM has no such argument{nearest(name, [*known, *own])}"
    return None


@lru_cache(maxsize=1)
def arguments() -> frozenset[str]:
    """Fields of AsyncEngineArgs. Empty if vLLM is not installed or has them elsewhere: then vLLM itself checks."""
    found = find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        return frozenset()
    source = Path(found.submodule_search_locations[0]) / "engine" / "arg_utils.py"
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return frozenset()
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("EngineArgs")]
    fields = [node.target for klass in classes for node in klass.body if isinstance(node, ast.AnnAssign)]
    return frozenset(field.id for field in fields if isinstance(field, ast.Name) and not field.id.startswith("_"))
