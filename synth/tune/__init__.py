"""Finds the fastest engine settings for a machine: engines run one after another (python -m synth.tune)."""
