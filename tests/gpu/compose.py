"""Composes the engine of each preset as the GPU build of vLLM would on a card that is not there, and prints what came
out: a line of JSON for each. To be run in a process of its own: `python compose.py WHEEL_FOLDER CARD CONFIGS`.

What is pretended is the card: its driver's answers, compiled modules that are loaded and not called, and that torch has
CUDA. All else is vLLM's own code. It can't see kernels, memory or NCCL.
"""

import importlib.machinery
import importlib.metadata
import json
import os
import sys
import types
from pathlib import Path

CARDS = {  # name, capability, GiB
    "H100": ("NVIDIA H100 80GB HBM3", (9, 0), 79.6),
    "H200": ("NVIDIA H200", (9, 0), 140.4),
    "B200": ("NVIDIA B200", (10, 0), 178.4),
}
NOT_HERE = "torchvision torchvision.io torchvision.transforms torchvision.transforms.v2"  # of no use to a text
NOT_HERE += " torchvision.transforms.v2.functional"
COMPILED = (
    "vllm._C_stable_libtorch vllm._moe_C_stable_libtorch vllm._qutlass_C vllm.cumem_allocator vllm._flashmla_C "
    "vllm._flashmla_extension_C vllm.vllm_flash_attn._vllm_fa2_C vllm.vllm_flash_attn._vllm_fa3_C "
    "vllm.spinloop vllm._deepselect_C vllm._flashkda_C vllm.fs_io_C"
).split()


class Operator:
    """Any of the compiled ones: they are there, and whatever they are asked, they support it."""

    def __getattr__(self, name: str) -> "Operator":
        if name.startswith("__"):
            raise AttributeError(name)
        return Operator()

    def __call__(self, *_, **__) -> bool:
        return True


class Anything(types.ModuleType):
    """A module in which there is whatever is imported from it."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Configuration:
    """Of a Triton kernel that is not compiled here."""

    def __init__(self, values=None, **given):
        self.kwargs, self.num_stages, self.num_warps = values or {}, 1, 4
        self.__dict__.update(given)


def pretend(wheel: Path, card: str, gpus: int = 8) -> None:
    sys.path.insert(0, str(wheel))
    name, capability, gib = CARDS[card]
    for module in COMPILED:
        sys.modules[module] = types.ModuleType(module)
        sys.modules[module].__spec__ = importlib.machinery.ModuleSpec(module, None)
    import torch

    torch.version.cuda = "13.0"
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: gpus
    torch.cuda.get_device_capability = lambda device=None: capability
    torch.cuda.get_device_name = lambda device=None: name
    torch.cuda.current_device = lambda: 0
    multiprocessors = types.SimpleNamespace(multi_processor_count=132, total_memory=int(gib * 2**30), name=name)
    torch.cuda.get_device_properties = lambda device=None: multiprocessors
    import vllm.third_party.pynvml as nvml

    total = int(gib * 2**30)
    memory = types.SimpleNamespace(total=total, free=total - 2**28, used=2**28)
    answers = {
        "nvmlInit": lambda *_: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: gpus,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: name,
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetCudaComputeCapability": lambda handle: capability,
        "nvmlDeviceGetMemoryInfo": lambda handle, *_: memory,
        "nvmlDeviceGetP2PStatus": lambda *_: nvml.NVML_P2P_STATUS_OK,
        "nvmlSystemGetDriverVersion": lambda: "580.65.06",
        "nvmlSystemGetCudaDriverVersion": lambda: 13000,
    }
    for function, answer in answers.items():
        setattr(nvml, function, answer)
    from vllm.platforms import cuda
    from vllm.triton_utils import triton

    triton.Config = Configuration
    # Here and in main(), private functions of vLLM and operators of torch stand in for a GPU: neither has a public way.
    cuda._cuda_device_count_stateless = lambda *_: gpus  # torch's own has no CUDA


def compose(preset: str, folder: Path, tensor_parallel: int, context: int | None, extra: dict) -> dict:
    from synth.engines.vllm import VLLM
    from synth.models.model import Model

    model = Model(path=str(folder), max_model_len=context)
    engine = VLLM(model=model, tensor_parallel_size=tensor_parallel, extra=extra)
    configured = engine.configured()
    scheduler, model, compilation = configured.scheduler_config, configured.model_config, configured.compilation_config
    return {
        "preset": preset,
        "gpus": engine.placement(True, 0).gpus,
        "sequences": scheduler.max_num_seqs,
        "tokens": scheduler.max_num_batched_tokens,
        "memory": configured.cache_config.gpu_memory_utilization,
        "context": model.max_model_len,
        "async": scheduler.async_scheduling,
        "chunked": scheduler.enable_chunked_prefill,
        "prefix": configured.cache_config.enable_prefix_caching,
        "graphs": compilation.max_cudagraph_capture_size,
        "mode": compilation.cudagraph_mode.name,
        "executor": str(configured.parallel_config.distributed_executor_backend),
        "quantization": str(model.quantization),
        "dtype": str(model.dtype),
        "multimodal": bool(model.is_multimodal_model),
        "language_only": bool(model.multimodal_config and model.multimodal_config.language_model_only),
        "expert_parallel": configured.parallel_config.enable_expert_parallel,
    }


def main(wheel: str, card: str, configs: str) -> None:
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    pretend(Path(wheel), card)
    from synth.engines import vllm_engine

    vllm_engine.is_cpu_build = lambda: False
    from vllm.model_executor.models import registry

    for module in NOT_HERE.split():
        sys.modules[module] = Anything(module)
        sys.modules[module].__spec__ = importlib.machinery.ModuleSpec(module, None)
    registry._run_in_subprocess = lambda look: look()  # a process of its own would pretend nothing
    registry._LazyRegisteredModel._save_modelinfo_to_cache = lambda *_: None
    import torch
    import vllm._custom_ops  # noqa: F401  # asks which operators there are, and describes them

    torch.ops._C = torch.ops._moe_C = Operator()
    for load in json.loads(configs):
        try:
            given = (load["tensor_parallel_size"], load["max_model_len"], load.get("extra", {}))
            refusal_line = compose(load["preset"], Path(load["folder"]), *given)
        except Exception as error:
            refusal_line = {
                "preset": load["preset"],
                "error": f"{type(error).__name__}: {' '.join(str(error).split())}",
            }
            if os.environ.get("TRACE"):
                import traceback

                traceback.print_exc()
        print(json.dumps(refusal_line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
