"""What a pilot and a tune share: small runs of a grid of settings, in one process each and without Ray."""
