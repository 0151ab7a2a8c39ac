"""Components: classes and functions named by a configuration; located, validated and instantiated from plain data."""
