"""Files of a run: the run folder, its manifest, journals of unfinished shards, committed shards, the dataset."""
