"""What vLLM's workers are extended by on a CPU. Each imports it in its own process, wherever vLLM starts that."""

from synth.engines import cpu_sampler


class CpuWorker:
    """Adds nothing: what counts is that it was imported."""


cpu_sampler.install()
