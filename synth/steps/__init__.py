"""Techniques, one file each, and the chain that runs a record through them."""
