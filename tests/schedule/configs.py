"""Configurations for schedule tests: Magpie on a simulated engine."""

from typing import Any

from synth.configuration.config import Config
from synth.configuration.parsing import parse

FAST = {"tokens_per_second": 2000.0, "first_token_s": 0.005, "median_tokens": 20}


def config(cluster: dict[str, Any] | None = None, **engine: Any) -> Config:
    return parse(
        {
            "num_records": 100,
            "seed": 0,
            "output_dir": "unused",
            "shard_size": 10,
            "resume": "auto",
            "min_yield": 0.05,
            "push_to_hub": None,
            "dry_run": False,
            "strategy": {"name": "test", "steps": [{"_target_": "synth.steps.magpie.Magpie"}]},
            "model": {"path": "demo"},
            "engine": {"_target_": "synth.engines.simulated.Simulated", **FAST, **engine},
            "cluster": cluster or {},
            "source": {},
        }
    )
