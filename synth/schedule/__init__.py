"""Plan, scheduler and the workers that Ray places: which worker processes which shard, and when."""
