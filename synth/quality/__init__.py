"""Filters and measures of text quality, over instructions and responses."""
