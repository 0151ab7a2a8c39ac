"""The configuration that Hydra composes, as typed objects; validated before the start with one-line errors."""
