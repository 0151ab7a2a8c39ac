"""Tools that a model may call: their specifications, what a call has to hold to, and what a real one returns."""
