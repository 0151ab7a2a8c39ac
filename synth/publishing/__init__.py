"""Publishing: a run's rows go to the Hub or to a store while the run goes on, as Parquet that `datasets` streams."""
