"""The default dtype of a model on a CPU.

Most checkpoints are stored in bfloat16. x86 processors without AVX-512, as in most laptops, have no instructions for
it: torch falls back to slow loops. On two threads of such an AMD EPYC, SmolLM2-135M generated 25 tokens/s in bfloat16
and 171 in float32, with 64 concurrent sequences.
"""

import platform


def cpu_dtype(dtype: str) -> str:
    """`auto` becomes float32 if this processor is slow in bfloat16; other values stay. Imports torch."""
    import torch

    x86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
    if dtype == "auto" and x86 and not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return "float32"
    return dtype
