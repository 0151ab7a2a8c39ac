"""Tools that a model may call: their specifications, validation of calls, and results of functions."""
