"""Checks for optional packages with GPU kernels that are not installed.

On Hopper and Blackwell, FlashInfer has kernels for attention, sampling and fused all-reduce, as sources. Without its
compiled files, nvcc compiles them when an engine starts, which takes minutes, or slower kernels are used, with a
warning in a log only.
"""

import shutil
from importlib import metadata

from synth.engines.cards import Card

COMMAND = "vllm download-kernels"
_BEFORE_HOPPER = ("A100", "A10", "A30", "A40", "A6000", "L4", "L40", "RTX 30", "RTX 40", "RTX4090", "T4", "V100")


def missing_kernels(on: Card | None) -> str | None:
    """What is missing, with the command that installs it; None if nothing is, or on a CPU."""
    if on is None or any(name in on.name for name in _BEFORE_HOPPER):
        return None
    wanted = version("flashinfer-python")
    if wanted is None:
        return None
    there = version("flashinfer-cubin")
    if there == wanted:
        return None
    otherwise = "nvcc compiles them for minutes at each start" if shutil.which("nvcc") else "slower kernels are used"
    state = "not installed" if there is None else f"installed as version {there}"
    return f"FlashInfer {wanted} needs flashinfer-cubin for compiled kernels, which is {state}: {otherwise}; {COMMAND}"


def version(package: str) -> str | None:
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None
