"""Components: the classes and functions that a configuration names, found, checked and built from plain data."""
