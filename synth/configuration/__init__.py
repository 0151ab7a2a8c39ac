"""What Hydra composes, as typed objects: checked once and whole, and refused in one line."""
