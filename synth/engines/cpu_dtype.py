"""The numbers that a model is computed in on a CPU, where nobody has chosen them.

Most checkpoints are stored in bfloat16. An x86 processor without AVX-512, as in most laptops, has no instructions for
it: oneDNN gives up, and slow loops of torch's take its place. On two threads of such an AMD EPYC SmolLM2-135M wrote 25
tokens/s in bfloat16 and 171 in float32, 64 sequences at once.
"""

import platform


def cpu_dtype(dtype: str) -> str:
    """`auto` is float32 where this processor is slow in bfloat16; what somebody chose stays. Imports torch."""
    import torch

    x86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
    if dtype == "auto" and x86 and not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return "float32"
    return dtype
