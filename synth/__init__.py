"""Synth: a high-throughput batch generator of synthetic instruction-tuning data."""
