"""Finds settings that suit a model: small runs side by side in one engine (python -m synth.pilot)."""
