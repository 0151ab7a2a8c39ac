"""What a text is worth: filters and measures over instructions and responses."""
