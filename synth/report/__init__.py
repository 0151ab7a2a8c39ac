"""Progress, metrics and reports of a run, during it and afterwards."""
