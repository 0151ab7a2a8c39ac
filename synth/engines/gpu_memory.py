"""How much of a GPU's memory an engine takes where nobody says: `gpu_memory_utilization: auto`.

What vLLM does not reckon with is of a size and not of a share: contexts, buffers between GPUs, fragments. Its own `LLM`
leaves 8 % to that, 6.4 GiB of a GPU of 80 GiB, and 14 GiB of one of 180. Here a larger GPU leaves no more than the
smaller one does. What others hold of a GPU is left to them.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

LLMS = 0.92  # vLLM's own LLM, 0.32
MOST = 0.95
LEFT_GIB = 6.4
OWN_GIB = 1.0  # of the engine's own, before vLLM looks at what is free
LEAST = 0.5  # below that it is no GPU to run on: vLLM says so, and it is tried again
WAITED_S = 20.0  # for what a process that has just ended still holds


@dataclass(frozen=True)
class Memory:
    """Of a GPU, in GiB."""

    total: float
    free: float


def share(total_gib: float) -> float:
    """Of a GPU that nobody else is on."""
    return round(min(MOST, max(LLMS, 1 - LEFT_GIB / total_gib)), 3)


def utilization(look: Callable[[], Sequence[Memory]], wait: Callable[[float], Any] = time.sleep) -> float:
    """Of GPUs as `look` finds them, waiting for what others are about to give back; vLLM's own where it finds none."""
    for attempt in range(int(WAITED_S)):
        if attempt:
            wait(1.0)
        gpus = look()
        whole = min((share(one.total) for one in gpus), default=LLMS)
        fits = min(((one.free - OWN_GIB) / one.total for one in gpus), default=1.0)
        if fits >= whole:
            return whole
    if fits < LEAST:
        return whole
    held = max(one.total - one.free for one in gpus)
    log.warning("others hold %.1f GiB of a GPU: the engine takes %.2f of it, not %.2f", held, fits, whole)
    return int(fits * 100) / 100


def visible() -> list[Memory]:
    """The GPUs that this process may use, without a context on any; none where the driver does not say."""
    try:
        from vllm.platforms import current_platform
        from vllm.utils.import_utils import import_pynvml

        nvml = import_pynvml()
        nvml.nvmlInit()
        try:
            found = []
            for logical in range(current_platform.device_count()):
                device = nvml.nvmlDeviceGetHandleByIndex(current_platform.device_id_to_physical_device_id(logical))
                told = nvml.nvmlDeviceGetMemoryInfo(device)
                found.append(Memory(told.total / 2**30, told.free / 2**30))
            return found
        finally:
            nvml.nvmlShutdown()
    except Exception as error:  # of a driver, or a platform that has no NVML
        log.info("the memory of the GPUs is not known: %s", error)
        return []
