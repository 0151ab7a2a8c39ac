"""Synth: a high-throughput batch generator of synthetic instruction-tuning data."""

from synth.generate import RunFailed, generate

__all__ = ["RunFailed", "generate"]
