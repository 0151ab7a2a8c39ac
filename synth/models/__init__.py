"""A model: its files, its chat template, its name in the dataset."""
