"""A worker extension for vLLM on a CPU: each vLLM worker imports this module in its own process."""

from synth.engines import cpu_sampler


class CpuWorker:
    """Empty: only the import matters."""


cpu_sampler.install()
