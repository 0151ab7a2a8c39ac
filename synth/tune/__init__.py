"""Which engine settings suit a machine: engines started one after another (python -m synth.tune)."""
