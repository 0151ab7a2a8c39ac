"""Common parts of pilot and tune: small runs over a grid of settings, in one process and without Ray."""
