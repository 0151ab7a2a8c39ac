"""Resuming a run: whether the folder's run may be continued with this configuration, and what is left to do."""
