"""What is on disk: the run folder, its manifest, the journals of unfinished shards, committed shards, the dataset."""
