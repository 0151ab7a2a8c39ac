"""The default share of GPU memory for an engine: `gpu_memory_utilization: auto`.

The memory that vLLM does not account for is constant, not proportional: contexts, communication buffers, fragmentation.
vLLM's own `LLM` leaves 8 % for it, 6.4 GiB of an 80 GiB GPU, and 14 GiB of a 180 GiB GPU. Here a larger GPU leaves no
more than the smaller one. Memory that other processes use is left to them.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

LLMS = 0.92  # default of vLLM's LLM, 0.32
MOST = 0.95
LEFT_GIB = 6.4
OWN_GIB = 1.0  # used by the engine itself before vLLM checks free memory
LEAST = 0.5  # a smaller share is useless: vLLM reports it, and the start is retried
WAITED_S = 20.0  # for memory of a process that has just ended


@dataclass(frozen=True)
class Memory:
    """Of a GPU, in GiB."""

    total: float
    free: float


def share(total_gib: float) -> float:
    """Of a GPU without other processes."""
    return round(min(MOST, max(LLMS, 1 - LEFT_GIB / total_gib)), 3)


def utilization(look: Callable[[], Sequence[Memory]], wait: Callable[[float], Any] = time.sleep) -> float:
    """For the GPUs that `look` returns, after waiting for other processes to free memory; vLLM's default if none."""
    for attempt in range(int(WAITED_S)):
        if attempt:
            wait(1.0)
        gpus = look()
        whole = min((share(gpu.total) for gpu in gpus), default=LLMS)
        fits = min(((gpu.free - OWN_GIB) / gpu.total for gpu in gpus), default=1.0)
        if fits >= whole:
            return whole
    if fits < LEAST:
        return whole
    held = max(gpu.total - gpu.free for gpu in gpus)
    log.warning("other processes use %.1f GiB of the GPU: the engine takes %.2f of it, not %.2f", held, fits, whole)
    return int(fits * 100) / 100


def visible() -> list[Memory]:
    """The GPUs visible to this process, without creating a context; empty if the driver does not report them."""
    try:
        from vllm.platforms import current_platform
        from vllm.utils.import_utils import import_pynvml

        nvml = import_pynvml()
        nvml.nvmlInit()
        try:
            found = []
            for logical in range(current_platform.device_count()):
                device = nvml.nvmlDeviceGetHandleByIndex(current_platform.device_id_to_physical_device_id(logical))
                info = nvml.nvmlDeviceGetMemoryInfo(device)
                found.append(Memory(info.total / 2**30, info.free / 2**30))
            return found
        finally:
            nvml.nvmlShutdown()
    except Exception as error:  # of a driver, or a platform without NVML
        log.info("cannot read the memory of the GPUs: %s", error)
        return []
