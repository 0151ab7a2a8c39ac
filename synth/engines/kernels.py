"""Kernels that a GPU would run faster on, and that are packages of their own: which of them are not installed.

On Hopper and Blackwell, FlashInfer brings attention, sampling and fused all-reduce as sources. Without its compiled
files they are built by nvcc when an engine starts, for minutes, or slower ones take their place, and a warning stands
in a log that nobody reads.
"""

import shutil
from importlib import metadata

from synth.engines.cards import Card

COMMAND = "vllm download-kernels"
_BEFORE_HOPPER = ("A100", "A10", "A30", "A40", "A6000", "L4", "L40", "RTX 30", "RTX 40", "RTX4090", "T4", "V100")


def missing_kernels(on: Card | None) -> str | None:
    """What is not there, with the command that brings it; None where nothing is missing, or on a CPU."""
    if on is None or any(name in on.name for name in _BEFORE_HOPPER):
        return None
    wanted = version("flashinfer-python")
    if wanted is None:
        return None
    there = version("flashinfer-cubin")
    if there == wanted:
        return None
    otherwise = "they are built when an engine starts, for minutes" if shutil.which("nvcc") else "slower ones are taken"
    told = "not installed" if there is None else f"of version {there}"
    return f"FlashInfer {wanted} has its compiled kernels in flashinfer-cubin, which is {told}: {otherwise}; {COMMAND}"


def version(package: str) -> str | None:
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None
