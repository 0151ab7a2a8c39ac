"""Techniques, a file each, and the chain that leads a record through them."""
